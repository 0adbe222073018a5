"""Traces outside the homes: ports, segments in shared memory, data directories. Collected during a round."""

import contextlib
import os
import time
from pathlib import Path

import psutil

from tests import leftovers
from tests.detector import BUSY, Home

MEMORY = Path("/dev/shm")
SYSV = Path("/proc/sysvipc/shm")


class Traces:
    """What the processes of some homes had, and what of it is left."""

    def __init__(self, *homes: Home) -> None:
        self.homes = homes
        self.pids: set[int] = set()
        self.segments: set[str] = set()

    def collect(self) -> None:
        """Record the processes, and the files in shared memory that they map, except their data."""
        for process in leftovers.processes(*(home.path for home in self.homes)):
            self.pids.add(process.pid)
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
                    path = line.partition(f"{MEMORY}/")[2]
                    if path and "/" not in path and not path.endswith("(deleted)"):
                        self.segments.add(path)

    def left(self) -> list[str]:
        """Descriptions of everything that is left after a while."""
        until = time.monotonic() + BUSY
        while (found := self._left()) and time.monotonic() < until:
            time.sleep(0.05)
        return found

    def _left(self) -> list[str]:
        paths = [home.path for home in self.homes]
        found = [f"process {line[:200]}" for line in leftovers.command_lines(*paths)]
        found += [f"/dev/shm/{name}" for name in self.segments if (MEMORY / name).exists()]
        found += [f"port {port}" for port in self._ports()]
        found += [f"SysV segment {number}" for number in orphaned_segments(self.pids)]
        for record in MEMORY.glob("*/*/record.json"):
            with contextlib.suppress(OSError):
                if any(str(path) in record.read_text() for path in paths):
                    found.append(f"data {record.parent}")
        return found

    def _ports(self) -> list[int]:
        """Ports on which a recorded process listens. A process id may belong to another program meanwhile."""
        ours = {process.pid for process in leftovers.processes(*(home.path for home in self.homes))}
        listening = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        return [each.laddr.port for each in listening if each.pid in ours]


def orphaned_segments(pids: set[int]) -> list[int]:
    """SysV segments of these processes that no process is attached to, and whose maker is dead."""
    found: list[int] = []
    if not SYSV.exists():
        return found
    for line in SYSV.read_text().splitlines()[1:]:
        _, number, _, _, maker, _, attached, *_ = line.split()
        if int(maker) in pids and int(attached) == 0 and not os.path.exists(f"/proc/{maker}"):
            found.append(int(number))
    return found
