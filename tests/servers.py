"""Looks at running servers that the library has no part in: who listens where, and who was told what."""

from collections.abc import Iterator
from pathlib import Path

import psutil

LOOPBACK = ("0100007F", "00000000000000000000000001000000")  # as /proc/net/tcp and tcp6 write it


def listeners(port: int) -> list[str]:
    """The local addresses that somebody listens on at `port`, as the kernel writes them."""
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            address, _, number = fields[1].rpartition(":")
            if fields[3] == "0A" and int(number, 16) == port:
                found.append(address)
    return found


def listens_on_loopback_only(port: int) -> bool:
    return bool(listeners(port)) and set(listeners(port)) <= set(LOOPBACK)


def owner(port: int) -> psutil.Process:
    """The process that listens on `port`; of several that share it, the one that started them."""
    holders = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid
    }
    (found,) = [pid for pid in holders if psutil.Process(pid).ppid() not in holders]
    return psutil.Process(found)


def command_lines() -> Iterator[str]:
    """Every command line of the machine."""
    for pid in psutil.pids():
        try:
            yield Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue


def environment(process: psutil.Process) -> dict[str, str]:
    """The environment that a process was started with, by the kernel's word."""
    words = Path(f"/proc/{process.pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)
