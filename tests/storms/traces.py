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
        self.sysv = Segments()

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
        found += self.sysv.orphaned(self.pids)
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


class Segments:
    """SysV segments that were made since this object. An older segment may have the process id of a new process."""

    def __init__(self) -> None:
        self._before = {number for number, _, _ in _listed()}

    def orphaned(self, pids: set[int]) -> list[str]:
        """Descriptions of the ones that these processes made, that none is attached to, and whose maker is dead."""
        found = [(number, maker) for number, maker, attached in _listed() if maker in pids and attached == 0]
        found = [(number, maker) for number, maker in found if number not in self._before]
        return [f"SysV segment {number} of {maker}" for number, maker in found if not os.path.exists(f"/proc/{maker}")]


def _listed() -> list[tuple[int, int, int]]:
    """Number, maker, and count of attached processes of each segment."""
    if not SYSV.exists():
        return []
    lines = [line.split() for line in SYSV.read_text().splitlines()[1:]]
    return [(int(fields[1]), int(fields[4]), int(fields[6])) for fields in lines]
