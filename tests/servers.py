"""Observation of running servers without the library: listening addresses, command lines and environments."""

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

LOOPBACK = ("0100007F", "00000000000000000000000001000000")  # as /proc/net/tcp and tcp6 write it


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(number: int) -> list[int]:
    """Different ports of the loopback interface on which nothing listens now.

    They are below 32768: the kernel gives higher ones to connections, also before the caller uses them.
    """
    found: set[int] = set()
    while len(found) < number:
        port = random.randrange(20000, 32768)
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            found.add(port)
    return [*found]


def listeners(port: int) -> list[str]:
    """Local addresses of the listeners on `port`, as the kernel writes them."""
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
    """The process that listens on `port`; of several processes that share it, the parent."""
    holders = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid
    }
    (found,) = [pid for pid in holders if psutil.Process(pid).ppid() not in holders]
    return psutil.Process(found)


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """Addresses and ports on which a process and its children listen."""
    tree = [process, *process.children(recursive=True)]
    connections = [connection for member in tree for connection in member.net_connections("tcp")]
    return {(found.laddr.ip, found.laddr.port) for found in connections if found.status == psutil.CONN_LISTEN}


def command_lines() -> Iterator[str]:
    """All command lines of the machine."""
    for pid in psutil.pids():
        try:
            yield Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue


def environment(process: psutil.Process) -> dict[str, str]:
    """The environment that a process was started with, as the kernel lists it."""
    lines = Path(f"/proc/{process.pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(line.split("=", 1) for line in lines if "=" in line)
