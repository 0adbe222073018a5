"""Ports of the loopback interface: pick a free port, and find the owner of a listening one."""

import contextlib
import os
import re
import socket

from servicectx.system import platform
from servicectx.system import processes as pids

TRIES = 100


def pick(host: str, extra: int = 0, consecutive: int = 0) -> list[int]:
    """Pick a free port, with `consecutive` free ports right after it, then `extra` other ports.

    A port can be lost before the server binds it; the keeper then picks again. Raises OSError when no port is free.
    """
    for _ in range(TRIES):
        with contextlib.ExitStack() as held:  # all stay open, so that no two ports are the same
            try:
                first = held.enter_context(socket.socket())
                first.bind((host, 0))
                port: int = first.getsockname()[1]
                for number in range(port + 1, port + 1 + consecutive):
                    held.enter_context(socket.socket()).bind((host, number))
            except (OSError, OverflowError) as error:
                problem = error
                continue
            others = [held.enter_context(socket.socket()) for _ in range(extra)]
            for other in others:
                other.bind((host, 0))
            return [port, *(other.getsockname()[1] for other in others)]
    raise problem


def listen(host: str, port: int) -> socket.socket:
    """Open a socket that listens on `port`, for a server that inherits it. Raises OSError when the port is taken."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except BaseException:
        listener.close()
        raise
    return listener


def is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def belongs_to(server: int, port: int) -> bool | None:
    """Whether `server` or a process below it listens on `port`. None: unknown on this system."""
    if not platform.PROC:
        return _belongs_by_psutil({server, *pids.descendants(server)}, port)
    sockets = listening(port)
    return bool(sockets) and (_holds(server, sockets) or any(_holds(pid, sockets) for pid in pids.descendants(server)))


def is_lost(host: str, server: int, port: int) -> bool:
    """Whether a program other than `server` and its descendants has `port`."""
    taken = listening(port) if platform.PROC else not is_free(host, port)
    return bool(taken) and belongs_to(server, port) is False


def _belongs_by_psutil(processes: set[int], port: int) -> bool | None:
    """As `belongs_to`, for systems without /proc. Some of them hide the sockets of other users' processes (None)."""
    import psutil

    hidden = False
    for pid in processes:
        try:
            sockets = psutil.Process(pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            continue
        except (psutil.Error, OSError):
            hidden = True
            continue
        if any(entry.status == psutil.CONN_LISTEN and entry.laddr.port == port for entry in sockets):
            return True
    return None if hidden else False


def listening(port: int) -> set[str]:
    """The inodes of the sockets that listen on `port` (proc(5): local address in hexadecimal, state 0A)."""
    line = re.compile(
        rb"^ *\d+: [0-9A-F]+:%04X [0-9A-F]+:[0-9A-F]+ 0A +\S+ +\S+ +\S+ +\S+ +\S+ +(\d+)" % port, re.MULTILINE
    )
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(table, "rb") as file:
            found |= {f"socket:[{inode.decode()}]" for inode in line.findall(file.read())}
    return found


def _holds(pid: int, sockets: set[str]) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/{name}") in sockets:
                    return True
    except OSError:
        pass
    return False
