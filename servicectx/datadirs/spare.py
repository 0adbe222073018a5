"""A spare: a data directory that is made while a service runs, so that the next start need not copy one.

A spare is part of the cache, on the file system of the data and with its owner: a start only renames it. Spares are
made for data on disk; in memory a copy takes no longer than the check of a spare.
"""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

from servicectx.datadirs import label, prepared
from servicectx.datadirs.cache import SPARES, Cache
from servicectx.datadirs.tree import Entry, Owner, entry_of
from servicectx.system import directories, linux, processes
from servicectx.system.checkpoints import step
from servicectx.system.processes import Process

CALM = 0.3  # seconds; services that live shorter than this do not build a spare


def place(cache: Cache, source: Path, owner: Owner | None) -> Path:
    """The path of the spare for `source`, which may be missing."""
    return cache.place(SPARES, f"{source.name}-{owner[0] if owner else os.geteuid()}")


def take(spare: Path, target: Path | Entry) -> dict[str, str] | None:
    """Rename the spare to `target` and return its manifest. Of several callers one gets it, the others get None."""
    manifest = None
    with contextlib.suppress(OSError), entry_of(target) as (parent, name):
        os.rename(spare, name, dst_dir_fd=parent)
        step("taken")
        with contextlib.suppress(OSError), directories.entered(name, parent) as directory:
            manifest = prepared.unwrap(directory)
        if manifest is None:
            prepared.remove_at(target)
    return manifest


class Maker:
    """Make a spare in a child with the lowest priority, which ends with its keeper."""

    def __init__(self, cache: Cache, sources: list[Path], data: Path, owner: Owner | None) -> None:
        self._process: Process | None = None
        source = next((source for source in sources if source.exists()), None)
        if source is None or not _is_of_use(cache, data):
            return
        keeper = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                linux.die_with(keeper, signal.SIGKILL)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                linux.give_way()
                time.sleep(CALM)
                _make(cache, source, place(cache, source, owner), owner)
            finally:
                os._exit(0)
        self._process = processes.identity(child)
        self._reaper = threading.Thread(target=_reap, args=[child], daemon=True)
        self._reaper.start()

    def end(self) -> None:
        """Kill the child at once. The next maker removes its half-made spare."""
        if self._process is not None:
            processes.send(self._process, signal.SIGKILL)
            self._reaper.join()
            self._process = None


def _reap(child: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def _is_of_use(cache: Cache, data: Path) -> bool:
    from servicectx.state import storage  # imported late: its import would delay a start

    try:
        return os.stat(cache.path).st_dev == os.stat(data).st_dev and not storage.is_memory(data)
    except OSError:
        return False


def _make(cache: Cache, source: Path, spare: Path, owner: Owner | None) -> None:
    from servicectx.datadirs.scratch import half_made
    from servicectx.state import storage

    size = prepared.size(source)
    if spare.exists() or size is None or not cache.has_room(size) or not storage.is_roomy(cache.path, 4 * size):
        return
    with half_made(spare.parent) as temporary:
        manifest = prepared.restore(source, temporary, owner)
        if manifest is not None:
            named = label.from_manifest(manifest, source.name)
            prepared.write_manifest(temporary, label=named, secret=manifest.get("secret", ""))
            step("spare")
            os.rename(temporary, spare)
