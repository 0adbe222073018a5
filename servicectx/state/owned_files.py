"""Files outside an instance's directory that are removed with it: details files, and stray files of servers.

Other accounts may be able to write to the directories of these files. So a file is removed only if it belongs to this
user or to the server's account. Its directory is held open, and was reached without a link.
"""

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from servicectx.system import directories, reading
from servicectx.system.originals import json, open

_LIST = "handouts"
PATTERNS = "leftovers"
DIRECTORIES = "directories"
LARGEST = 1_000_000  # bytes of a details file
LONGEST = 4096  # characters of a path or pattern

Look = Callable[[int, str], bool]  # whether the entry of that name in the open directory is the listed file


def note(directory: Path, file: Path, text: str) -> None:
    """Register `file` for removal with the instance in `directory`, before the text is written into it.

    A file that was changed meanwhile stays.
    """
    import hashlib  # slow to import, and only needed for registered files

    digest = hashlib.sha256(text.encode()[:LARGEST]).hexdigest()
    _append(directory / _LIST, digest, os.path.join(os.path.realpath(file.parent), file.name))


def noted(directory: Path) -> list[Path]:
    """The registered files that are unchanged."""
    return [path for path, look in _noted(directory) if _at(path, look)]


def leave(directory: Path, patterns: Iterable[str], owner: int | None = None) -> None:
    """Register glob patterns: matching files are removed with the instance in `directory`.

    Only regular files, sockets and FIFOs of the user `owner` (an id), or of this one, count as matches.
    """
    for pattern in patterns:
        _append(directory / PATTERNS, str(os.geteuid() if owner is None else owner), pattern)


def leave_directory(directory: Path, path: Path, owner: int) -> None:
    """Register the directory `path` of the user `owner`: it is removed with the instance, if it is empty then."""
    _append(directory / DIRECTORIES, str(owner), str(path))


def remove_owned(directory: Path) -> None:
    """Remove the registered files, the matches of patterns, and the empty directories. A second call does nothing."""
    for path, look in [*_noted(directory), *_left(directory)]:
        _remove(path, look)
    for path, look in _directories(directory):
        with contextlib.suppress(OSError):  # it is not empty
            _remove(path, look, os.rmdir)


def left(directory: Path) -> list[Path]:
    """The existing matches of the patterns from `leave`."""
    return [path for path, look in _left(directory) if _at(path, look)]


def _append(listing: Path, first: str, path: str) -> None:
    descriptor = os.open(listing, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{first} {json.dumps(path)}\n")  # JSON, because a path may contain a line break


def _lines(listing: Path) -> list[tuple[str, str]]:
    try:
        text = reading.read_text(listing) or ""
    except reading.Unreadable:
        return []
    pairs = [line.partition(" ") for line in text.split("\n") if line]
    return [(first, path) for first, _, rest in pairs if (path := _path(rest)) is not None]


def _path(text: str) -> str | None:
    """A listed path, or None for a line that a killed process left incomplete."""
    try:
        path = reading.parse_json(text)
    except ValueError:
        return None
    return path if isinstance(path, str) and "\0" not in path and len(path) < LONGEST else None


def _noted(directory: Path) -> list[tuple[Path, Look]]:
    def looks_as(digest: str) -> Look:
        return lambda parent, name: _digest(parent, name) == digest

    return [(Path(path), looks_as(digest)) for digest, path in _lines(directory / _LIST) if digest]


def _left(directory: Path) -> list[tuple[Path, Look]]:
    found: list[tuple[Path, Look]] = []
    for owner, pattern in _lines(directory / PATTERNS):
        import glob  # only a few servers need it

        owners = {os.geteuid(), int(owner)} if owner.isdigit() else {os.geteuid()}

        def is_owned(parent: int, name: str, owners: set[int] = owners) -> bool:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            kinds = (stat.S_ISREG, stat.S_ISSOCK, stat.S_ISFIFO)
            return status.st_uid in owners and any(is_kind(status.st_mode) for is_kind in kinds)

        with contextlib.suppress(OSError, ValueError, re.error):  # a damaged list may hold anything
            found += [(Path(path), is_owned) for path in glob.glob(_fixed(pattern))]
    return found


def _directories(directory: Path) -> list[tuple[Path, Look]]:
    def is_owned_by(owner: str) -> Look:
        def is_owned(parent: int, name: str) -> bool:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            return stat.S_ISDIR(status.st_mode) and str(status.st_uid) in (owner, str(os.geteuid()))

        return is_owned

    return [(Path(path), is_owned_by(owner)) for owner, path in _lines(directory / DIRECTORIES)]


def _fixed(pattern: str) -> str:
    """The pattern with links resolved in its part without wildcards, such as /tmp on macOS."""
    import glob

    folders = pattern.split("/")[:-1]
    plain = 0
    while plain < len(folders) and not glob.has_magic(folders[plain]):
        plain += 1
    start = os.path.realpath("/".join(folders[:plain]) or "/")
    return os.path.join(start, *pattern.split("/")[plain:])


def _at(path: Path, look: Look) -> bool:
    """The result of `look` for `path`; False for a missing file, or for a directory behind a link."""
    try:
        with directories.walked(*path.parent.parts) as folder:
            return look(folder, path.name)
    except (OSError, ValueError):  # a damaged list may name anything
        return False


def _remove(path: Path, look: Look, remove_entry: Callable[..., None] = os.unlink) -> None:
    def remove(parent: int, name: str) -> bool:
        if found := look(parent, name):
            remove_entry(name, dir_fd=parent)
        return found

    _at(path, remove)


def _digest(parent: int, name: str) -> str:
    import hashlib  # slow to import, and only needed for registered files

    try:
        with open(directories.open_file(name, parent, [os.geteuid()]), "rb") as file:
            return hashlib.sha256(file.read(LARGEST)).hexdigest()
    except (OSError, ValueError):  # a damaged list may name anything
        return ""
