"""The cache as a whole: what is in it, and how large it may become."""

import contextlib
from pathlib import Path
from typing import NamedTuple

from servicectx.datadirs import prepared
from servicectx.datadirs.tree import measure
from servicectx.system.directories import Owners

SNAPSHOTS, TEMPLATES, SPARES = "snapshots", "templates", "spares"
KINDS = (SNAPSHOTS, TEMPLATES, SPARES)


class Entry(NamedTuple):
    """One kept copy: what kind of thing it is, its size in bytes, when it was last used (as `time.time()`)."""

    kind: str
    name: str
    size: int
    last_used: float
    path: Path


class Cache(NamedTuple):
    """A directory of kept copies that are no more than `limit` bytes together. It may be missing or read-only."""

    path: Path
    limit: int

    def place(self, kind: str, name: str) -> Path:
        return self.path / kind / name

    def entries(self) -> list[Entry]:
        """All that is in it, whole or damaged."""
        found = []
        for kind in KINDS:
            for path in _folders(self.path / kind):
                with contextlib.suppress(OSError):  # somebody removes it at this very moment
                    size = prepared.size(path)
                    size = measure(path).bytes if size is None else size
                    found.append(Entry(kind, path.name, size, prepared.last_used(path), path))
        return found

    def has_room(self, size: int) -> bool:
        """Whether `size` bytes more are within the limit."""
        return sum(entry.size for entry in self.entries()) + size <= self.limit

    def keep(self, source: Path | int, place: Path, secret: str, owners: Owners = None) -> None:
        """Keep a copy of `source` as `place`; others make room for it, oldest first, unless it is too large alone.

        `source` may be an open directory, and `owners` those of `copy_tree`.
        """
        with contextlib.suppress(OSError):
            if measure(source).bytes <= self.limit:
                prepared.store(source, place, secret=secret, owners=owners)
                self.trim()

    def trim(self) -> None:
        """Drop what is too much: spares first, then what nobody has used for longest.

        A start that copies one of them this moment finds its copy incomplete, and goes on without.
        """
        for kind in KINDS:
            with contextlib.suppress(OSError):
                prepared.drop_abandoned(self.path / kind)
        entries = sorted(self.entries(), key=lambda entry: (entry.kind != SPARES, entry.last_used))
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= self.limit:
                break
            prepared.drop(entry.path)
            total -= entry.size

    def clear(self) -> list[Entry]:
        """Remove all of it, half-made copies of the dead included; what there was."""
        entries = self.entries()
        for entry in entries:
            prepared.drop(entry.path)
        self.trim()
        for kind in KINDS:
            with contextlib.suppress(OSError):
                (self.path / kind).rmdir()  # unless somebody is making one
        return entries


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
