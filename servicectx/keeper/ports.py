"""Ports of the loopback interface: pick a free port, and find the owner of one in use."""

import contextlib
import errno
import os
import re
import socket
from collections.abc import Mapping

from servicectx.system import platform
from servicectx.system import processes as pids

TRIES = 100


def pick(host: str, extra: int = 0, consecutive: int = 0, chosen: Mapping[int, int] | None = None) -> list[int]:
    """Pick a free port, with `consecutive` free ports right after it, then `extra` other ports.

    `chosen` has the ports that the caller chose, by their positions in the result: these are not looked up. A port can
    be lost before the server binds it; the keeper then picks again. Raises OSError when no port is free.
    """
    chosen = chosen or {}
    problem: Exception = OSError(errno.EADDRINUSE, "no free ports were found beside the chosen ones")
    for _ in range(TRIES):
        with contextlib.ExitStack() as held:  # all stay open, so that no two ports are the same
            try:
                first = chosen.get(0) or _hold(held, host, 0)
                numbers = range(first + 1, first + 1 + consecutive)
                for number in () if 0 in chosen else numbers:
                    _hold(held, host, number)
            except (OSError, OverflowError) as error:
                problem = error
                continue
            others = [chosen.get(index) or _hold(held, host, 0) for index in range(1, extra + 1)]
            if len({first, *numbers, *others}) == 1 + consecutive + extra:
                return [first, *others]
    raise problem


def _hold(held: contextlib.ExitStack, host: str, port: int) -> int:
    """Bind a port until the end of `held`; 0 for a free one."""
    holder = held.enter_context(socket.socket())
    holder.bind((host, port))
    number: int = holder.getsockname()[1]
    return number


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
    return bind_error(host, port) is None


def bind_error(host: str, port: int) -> OSError | None:
    """The error of an attempt to bind the port; None for a port that this process can bind."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


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
    """The inodes of the sockets that listen on `port`."""
    return _sockets(port, b"0A")


def bound(port: int) -> set[str]:
    """The inodes of all sockets with the local port `port`, those of connections included."""
    return _sockets(port, b"[0-9A-F]{2}")


def owner(port: int) -> int | None:
    """The process that has the port: that which listens on it, else one that has it as its end of a connection.

    Of several processes with one socket, the parent. None: this user cannot see the process.
    """
    if not platform.PROC:
        return None
    for sockets in (listening(port), bound(port)):
        holders = [pid for pid in pids.all_pids() if _holds(pid, sockets)] if sockets else []
        if holders:
            return next((pid for pid in holders if pids.parent(pid) not in holders), holders[0])
    return None


def _sockets(port: int, states: bytes) -> set[str]:
    """The inodes of sockets with that local port (proc(5): local address in hexadecimal, then the state)."""
    line = re.compile(
        rb"^ *\d+: [0-9A-F]+:%04X [0-9A-F]+:[0-9A-F]+ %s +\S+ +\S+ +\S+ +\S+ +\S+ +(\d+)" % (port, states), re.MULTILINE
    )
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(table, "rb") as file:
            found |= {f"socket:[{inode.decode()}]" for inode in line.findall(file.read())}
    return found - {"socket:[0]"}  # of a closed connection


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
