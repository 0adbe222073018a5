"""Files outside an instance's directory that must go when it goes: details files, and what servers strew about."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from servicectx import _files

_LIST = "handouts"
LEAVINGS = "leavings"


def note(directory: Path, file: Path) -> None:
    """Let `file` be removed together with the instance in `directory`, unless somebody changes it before."""
    descriptor = os.open(directory / _LIST, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as listing:
        listing.write(f"{_digest(file)} {file.absolute()}\n")


def noted(directory: Path) -> list[Path]:
    """The files that were handed out and are still as they were."""
    pairs = [line.partition(" ") for line in _lines(directory / _LIST)]
    return [Path(path) for digest, _, path in pairs if _digest(Path(path)) == digest]


def leave(directory: Path, patterns: Iterable[str]) -> None:
    """Let whatever matches these glob patterns be removed together with the instance in `directory`."""
    for pattern in patterns:
        descriptor = os.open(directory / LEAVINGS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as listing:
            listing.write(f"{pattern}\n")


def take_back(directory: Path) -> None:
    """Remove what was handed out and what was left. The second time nothing happens."""
    files = [*noted(directory), *left(directory)]
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            file.unlink()


def left(directory: Path) -> list[Path]:
    """What matches the patterns that `leave` was told."""
    patterns = _lines(directory / LEAVINGS)
    if not patterns:
        return []
    import glob  # for the few servers that leave something

    return [Path(path) for pattern in patterns for path in glob.glob(pattern)]


def _lines(file: Path) -> list[str]:
    """The lines of a list, whatever bytes are in it; none where it cannot be read."""
    try:
        return [line for line in _files.read(file).decode(errors="surrogateescape").split("\n") if line]
    except _files.Unreadable:
        return []


def _digest(file: Path) -> str:
    """The digest of a regular file; "" for anything else, such as a link or a FIFO that took its place."""
    import hashlib  # slow to import, and a keeper needs it only where something was handed out

    try:
        return hashlib.sha256(_files.read(file, follow=False)).hexdigest()
    except _files.Unreadable:
        return ""
