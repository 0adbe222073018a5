"""An independent look at the machine: processes, ports, directories. It knows nothing of the library's own code."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil


class Seen(NamedTuple):
    process: psutil.Process
    parent: int
    words: str


BUSY = 20.0  # seconds
OWN = "servicectx-home"  # what the library makes in a home
MARKER = "SERVICECTX.TAG"
EMPTY = (OWN, f"{OWN}/{MARKER}", f"{OWN}/data", f"{OWN}/data/{MARKER}")  # stays, with nothing else in it


class Home:
    """A directory for instances of one test, with eyes on everything that belongs to it."""

    def __init__(self) -> None:
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.path = Path(tempfile.mkdtemp(prefix="sctest-", dir=base))
        self.path.chmod(0o711)  # so that a server's own account gets through, and data stay inside

    @property
    def own(self) -> Path:
        """Where the library has its files."""
        return self.path / OWN

    def remove(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self.path, ignore_errors=True)

    def seen(self) -> list[Seen]:
        """Whoever works in this home, or names it on the command line: keepers, guards, servers, not their users."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                words = " ".join(process.cmdline())
                if process.cwd().startswith(str(self.path)) or str(self.path) in words:
                    found.append(Seen(process, process.ppid(), words))
            except psutil.Error:
                continue
        return found

    def processes(self) -> list[psutil.Process]:
        return [each.process for each in self.seen()]

    def keepers(self) -> list[psutil.Process]:
        """A keeper's parent, its guard, runs the same program."""
        helpers = _helpers(self.seen())
        return [each.process for each in helpers if each.parent in {one.process.pid for one in helpers}]

    def guards(self) -> list[psutil.Process]:
        helpers = _helpers(self.seen())
        pids = {each.process.pid for each in helpers}
        return [each.process for each in helpers if each.parent not in pids]

    def servers(self) -> list[psutil.Process]:
        """The topmost process of each server; a worker of Postgres that outlives its killed parent is none."""
        seen = self.seen()  # once: a helper that began since the last look is no server
        helpers = {each.process.pid for each in [*_helpers(seen), *_pools(seen)]}
        return [
            each.process
            for each in seen
            if each.process.pid not in helpers
            and each.parent in {*helpers, 1}
            and not each.words.startswith("postgres: ")
        ]

    def pools(self) -> list[psutil.Process]:
        """What keeps namespaces ready ahead of demand."""
        return [each.process for each in _pools(self.seen())]

    def files(self) -> list[str]:
        """What lies in the home, the library's empty directories and their markers left out. Some may go meanwhile."""
        found = []
        for folder, folders, names in os.walk(self.path):
            here = Path(folder).relative_to(self.path)
            found += [str(here / name) for name in (*folders, *names)]
        return sorted(name for name in found if name not in EMPTY)

    def left(self) -> list[str]:
        names = [f"{each.process.pid} {each.words[:40]} ... {each.words[-60:]}" for each in self.seen()]
        return names + self.files()[:20]

    def wait_until_empty(self, seconds: float = 2.0) -> None:
        wait_for(lambda: not self.left(), seconds, lambda: f"left behind: {self.left()}")


def _pools(seen: list[Seen]) -> list[Seen]:
    return [each for each in seen if "isolation.prefetcher" in each.words]


def _helpers(seen: list[Seen]) -> list[Seen]:
    return [each for each in seen if "keeper.watchdog" in each.words]


def wait_for(
    what: Callable[[], object], seconds: float, otherwise: Callable[[], str] = lambda: "it did not happen"
) -> None:
    """Wait until `what()` is true, or fail. A busy machine gets longer than the time that is normal: speed is measured
    by the benchmarks."""
    until = time.monotonic() + max(seconds, BUSY)
    while not what():
        assert time.monotonic() < until, f"not within {max(seconds, BUSY):g} s: {otherwise()}"
        time.sleep(0.01)


def listens(host: str, port: int) -> bool:
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in psutil.net_connections("tcp"))
