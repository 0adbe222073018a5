"""Ports of the loopback interface: pick a free one, and tell whose a listening one is."""

import contextlib
import os
import re
import socket
import sys

from servicectx._running import pids


def pick(host: str) -> int:
    """A port that is free now. It can be lost before the server binds it; the keeper then picks another."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


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
    if sys.platform != "linux":
        return None
    sockets = listening(port)
    return bool(sockets) and (_holds(server, sockets) or any(_holds(pid, sockets) for pid in pids.descendants(server)))


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
