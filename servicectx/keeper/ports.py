"""Ports of the loopback interface: pick a free one, and tell whose a listening one is."""

import contextlib
import os
import re
import socket

from servicectx.system import platform
from servicectx.system import processes as pids

TRIES = 100


def pick(host: str, more: int = 0, neighbours: int = 0) -> list[int]:
    """A port that is free now with `neighbours` free ports right after it, and then `more` others.

    They can be lost before the server binds them; the keeper then picks again. Raises OSError when none are to be had.
    """
    for _ in range(TRIES):
        with contextlib.ExitStack() as held:  # all at once, so that no two are the same
            try:
                first = held.enter_context(socket.socket())
                first.bind((host, 0))
                port: int = first.getsockname()[1]
                for number in range(port + 1, port + 1 + neighbours):
                    held.enter_context(socket.socket()).bind((host, number))
            except (OSError, OverflowError) as error:
                problem = error
                continue
            others = [held.enter_context(socket.socket()) for _ in range(more)]
            for other in others:
                other.bind((host, 0))
            return [port, *(other.getsockname()[1] for other in others)]
    raise problem


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `port`, for a server that inherits it. Raises OSError when somebody has that port."""
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(1024)
    except BaseException:
        made.close()
        raise
    return made


def is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def belongs_to(server: int, port: int) -> bool | None:
    """Whether `server` or a process below it listens on `port`. None: this system does not tell."""
    if not platform.PROC:
        return _belongs_by_psutil({server, *pids.descendants(server)}, port)
    sockets = listening(port)
    return bool(sockets) and (_holds(server, sockets) or any(_holds(pid, sockets) for pid in pids.descendants(server)))


def is_lost(host: str, server: int, port: int) -> bool:
    """Whether another program than `server` and those below it has `port`."""
    taken = listening(port) if platform.PROC else not is_free(host, port)
    return bool(taken) and belongs_to(server, port) is False


def _belongs_by_psutil(processes: set[int], port: int) -> bool | None:
    """A user may look at the sockets of his own processes; of what others have, not everywhere."""
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
        if any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets):
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
