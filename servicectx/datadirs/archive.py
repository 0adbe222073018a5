"""The archive of a cache: a compressed tar file of sealed copies. Unpacked by plain tar it is a cache directory, too.

servicectx-cache/SERVICECTX.TAG         the marker of a cache
servicectx-cache/export.json            format and machine
servicectx-cache/templates/NAME/...     a copy, with its manifest
servicectx-cache/end.json               the copies in the archive: a file without this one is half-written
"""

import contextlib
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from servicectx.datadirs.cache import NAME as NAME
from servicectx.datadirs.cache import SNAPSHOTS, TEMPLATES, Cache
from servicectx.datadirs.scratch import half_made
from servicectx.state import marked, paths

FORMAT = 1  # of archives: members, manifests, and the form of the names of copies
TOP = paths.IN_CACHE
MARKER = marked.MARKER
HEAD, END = "export.json", "end.json"
EXPORTED = (SNAPSHOTS, TEMPLATES)  # a spare belongs to one account and one file system
LARGEST_RECORD = 1 << 20  # bytes of export.json and end.json
NEEDED = ("data_filter", "3.11.4")  # an attribute of tarfile, and the release of Python that has it


class ArchiveError(Exception):
    """The reason why an archive was not written or not imported, with the cure."""


class Copy(NamedTuple):
    """The kind and the name of a copy, and a path inside it. An empty path is the copy itself."""

    kind: str
    name: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@contextlib.contextmanager
def workspace(cache: Cache) -> Iterator[Path]:
    """A private directory in the cache for the block. The next use of the cache removes that of a killed process."""
    with half_made(cache.path) as work:
        work.mkdir(mode=0o700)
        yield work


def safe_mode(mode: int, is_directory: bool) -> int:
    """The mode that `tarfile.data_filter` gives a file: no write bits for others, no special bits.

    A directory, to which the filter gives no mode, gets its own without these bits.
    """
    mode &= 0o755
    if is_directory:
        return mode | stat.S_IRWXU
    return (mode if mode & stat.S_IXUSR else mode & ~0o111) | stat.S_IRUSR | stat.S_IWUSR


def is_inside(path: str, target: str) -> bool:
    """Whether a link at `path` in a copy leads to a place in the copy: `..` only at the beginning, and not too often.

    A `..` after a name could leave the copy by way of another link.
    """
    parts = target.split("/")
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    return not target.startswith("/") and up <= path.count("/") and ".." not in parts[up:]


def check_python() -> None:
    """Raises ArchiveError for a Python whose `tarfile` unpacks without checks."""
    attribute, release = NEEDED
    if not hasattr(tarfile, attribute):
        raise ArchiveError(f"this Python cannot unpack archives safely; use Python {release} or a later one")


def marker() -> bytes:
    return marked.marker_text(marked.CACHE).encode()
