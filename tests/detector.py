"""Independent observation of the machine: processes, ports, directories. It uses no code of the library."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil


class Seen(NamedTuple):
    process: psutil.Process
    parent: int
    command_line: str


BUSY = 20.0  # seconds; a busy machine gets at least this long
OWN = "servicectx-home"  # directory that the library makes in a home
MARKER = "SERVICECTX.TAG"
EMPTY = (OWN, f"{OWN}/{MARKER}", f"{OWN}/data", f"{OWN}/data/{MARKER}")  # these stay, empty


class Home:
    """Home for the instances of one test, with a view of all processes and files that belong to it."""

    def __init__(self, base: Path | None = None) -> None:
        """`base`: directory for the home; without one the home is in memory, if possible."""
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.path = Path(tempfile.mkdtemp(prefix="sctest-", dir=base or memory))
        self.path.chmod(0o711)  # the account of a server can pass, and data stay inside

    @property
    def own(self) -> Path:
        """Directory of the library's files."""
        return self.path / OWN

    def remove(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self.path, ignore_errors=True)

    def seen(self) -> list[Seen]:
        """Processes that work in this home or name it on the command line: keepers, watchdogs, servers; not users."""
        found = []
        for pid in pids():
            if not _may_mention(pid, str(self.path)):
                continue
            try:
                process = psutil.Process(pid)
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                command_line = " ".join(process.cmdline())
                if process.cwd().startswith(str(self.path)) or str(self.path) in command_line:
                    found.append(Seen(process, process.ppid(), command_line))
            except psutil.Error:
                continue
        return found

    def processes(self) -> list[psutil.Process]:
        return [each.process for each in self.seen()]

    def keepers(self) -> list[psutil.Process]:
        """Keepers. The parent of a keeper, its watchdog, runs the same program; so does a child before its exec."""
        helpers = _helpers(self.seen())
        watchdogs = {each.process.pid for each in _watchdogs(helpers)}
        return [each.process for each in helpers if each.parent in watchdogs]

    def watchdogs(self) -> list[psutil.Process]:
        return [each.process for each in _watchdogs(_helpers(self.seen()))]

    def servers(self) -> list[psutil.Process]:
        """The topmost process of each server, without workers of Postgres that outlive their killed parent."""
        seen = self.seen()  # one snapshot: a helper that began between two would count as a server
        helpers = {each.process.pid for each in [*_helpers(seen), *_pools(seen)]}
        return [
            each.process
            for each in seen
            if each.process.pid not in helpers
            and each.parent in {*helpers, 1}
            and not each.command_line.startswith("postgres: ")
        ]

    def pools(self) -> list[psutil.Process]:
        """Prefetchers, which keep namespaces ready."""
        return [each.process for each in _pools(self.seen())]

    def files(self) -> list[str]:
        """Files in the home, without the library's empty directories and their markers. Files may vanish meanwhile."""
        found = []
        for folder, folders, names in os.walk(self.path):
            here = Path(folder).relative_to(self.path)
            found += [str(here / name) for name in (*folders, *names)]
        return sorted(name for name in found if name not in EMPTY)

    def left(self) -> list[str]:
        names = [f"{each.process.pid} {each.command_line[:40]} ... {each.command_line[-60:]}" for each in self.seen()]
        return names + self.files()[:20]

    def wait_until_empty(self, seconds: float = 2.0) -> None:
        wait_for(lambda: not self.left(), seconds, lambda: f"left behind: {self.left()}")


def pids() -> Iterator[int]:
    """Each process id, with the ids that appear meanwhile: a process that forks and ends leaves a child to look at."""
    known: set[int] = set()
    while new := [pid for pid in psutil.pids() if pid not in known]:
        known.update(new)
        yield from new


def _may_mention(pid: int, path: str) -> bool:
    """Whether the process is worth a look with psutil, which takes ten times as long as the two files here."""
    if not os.path.exists("/proc/self/cmdline"):
        return True
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return path.encode() in file.read() or os.readlink(f"/proc/{pid}/cwd").startswith(path)
    except OSError:
        return False


def _pools(seen: list[Seen]) -> list[Seen]:
    return [each for each in seen if "isolation.prefetcher" in each.command_line]


def _helpers(seen: list[Seen]) -> list[Seen]:
    return [each for each in seen if "keeper.watchdog" in each.command_line]


def _watchdogs(helpers: list[Seen]) -> list[Seen]:
    pids = {each.process.pid for each in helpers}
    return [each for each in helpers if each.parent not in pids]


def wait_for(
    condition: Callable[[], object], seconds: float, otherwise: Callable[[], str] = lambda: "it did not happen"
) -> None:
    """Wait until `condition()` is true, or fail.

    A busy machine gets longer than `seconds`, because benchmarks measure speed, not tests.
    """
    until = time.monotonic() + max(seconds, BUSY)
    while not condition():
        assert time.monotonic() < until, f"not within {max(seconds, BUSY):g} s: {otherwise()}"
        time.sleep(0.01)


def listens(host: str, port: int) -> bool:
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in psutil.net_connections("tcp"))
