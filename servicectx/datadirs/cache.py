"""The cache of prepared copies as a whole: its entries and its size limit."""

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from servicectx.datadirs import label, prepared
from servicectx.datadirs.label import Label
from servicectx.datadirs.tree import measure
from servicectx.system.directories import Owners

SNAPSHOTS, TEMPLATES, SPARES = "snapshots", "templates", "spares"
KINDS = (SNAPSHOTS, TEMPLATES, SPARES)
NAME = re.compile(r"[a-z][a-z0-9_-]*-[0-9a-f]{16}")  # service and digest of build, options and set-up


class Entry(NamedTuple):
    """One prepared copy: its kind, its size in bytes, the time of its last use (as `time.time()`).

    `service`, `version`, `setup` and `project` are texts for people, empty where they are unknown: the version of the
    server, the names of the set-up's steps, and the directory of the project whose start stored the copy.
    """

    kind: str
    name: str
    size: int
    last_used: float
    path: Path
    service: str = ""
    version: str = ""
    setup: str = ""
    project: str = ""


class Cache(NamedTuple):
    """A directory of prepared copies with at most `limit` bytes in total. The directory may be missing or read-only."""

    path: Path
    limit: int

    def place(self, kind: str, name: str) -> Path:
        return self.path / kind / name

    def entries(self) -> list[Entry]:
        """All copies in the cache, complete or damaged. Directories that this library did not make are left out."""
        found = []
        for kind in KINDS:
            for path in _folders(self.path / kind):
                with contextlib.suppress(OSError):  # another process is removing the copy
                    manifest = prepared.read_manifest(path)
                    size = measure(path).bytes if manifest is None else int(manifest["bytes"])
                    facts = label.from_manifest(manifest, path.name)
                    found.append(Entry(kind, path.name, size, prepared.last_used(path), path, *facts))
        return found

    def _removable(self) -> list[Entry]:
        """Entries with a manifest, which may be damaged. A user may have put other directories into the cache."""
        return [entry for entry in self.entries() if prepared.has_manifest(entry.path)]

    def has_room(self, size: int) -> bool:
        """Whether `size` more bytes are within the limit."""
        return sum(entry.size for entry in self.entries()) + size <= self.limit

    def keep(
        self, source: Path | int, place: Path, secret: str, owners: Owners = None, named: Label | None = None
    ) -> None:
        """Store a copy of `source` as `place`, then drop the oldest copies above the limit.

        A source above the limit is not stored. `source` may be an open directory; `owners` as in `copy_tree`.
        `named`: what the copy is of.
        """
        with contextlib.suppress(OSError):
            if measure(source).bytes <= self.limit:
                prepared.store(source, place, owners=owners, label=named, secret=secret)
                self.trim()

    def trim(self) -> None:
        """Drop copies above the limit: spares first, then the least recently used.

        A start that is copying a dropped entry finds its copy incomplete and continues without it.
        """
        for folder in (self.path, *(self.path / kind for kind in KINDS)):
            with contextlib.suppress(OSError):
                prepared.drop_abandoned(folder)
        entries = sorted(self._removable(), key=lambda entry: (entry.kind != SPARES, entry.last_used))
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= self.limit:
                break
            prepared.drop(entry.path)
            total -= entry.size

    def clear(self) -> list[Entry]:
        """Remove all entries and the half-made copies of dead processes. Return the entries that are gone."""
        entries = self._removable()
        for entry in entries:
            prepared.drop(entry.path)
        self.trim()
        for kind in KINDS:
            with contextlib.suppress(OSError):
                (self.path / kind).rmdir()  # fails while a process is storing a copy there
        return [entry for entry in entries if not os.path.lexists(entry.path)]


def _folders(place: Path) -> list[Path]:
    try:
        found = [path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")]
        return sorted(path for path in found if NAME.fullmatch(path.name) or prepared.has_manifest(path))
    except OSError:
        return []
