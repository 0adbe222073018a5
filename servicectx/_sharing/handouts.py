"""Files outside an instance's directory that must go when it goes: details files, and what servers strew about."""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from servicectx._sharing import reading

_LIST = "handouts"
LEAVINGS = "leavings"
LONGEST = 4096  # characters of a path or pattern


def note(directory: Path, file: Path) -> None:
    """Let `file` be removed together with the instance in `directory`, unless somebody changes it before."""
    descriptor = os.open(directory / _LIST, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as listing:
        listing.write(f"{_digest(file)} {file.absolute()}\n")


def noted(directory: Path) -> list[Path]:
    """The files that were handed out and are still as they were."""
    try:
        lines = (reading.read_text(directory / _LIST) or "").splitlines()
    except reading.Unreadable:
        return []
    pairs = [line.partition(" ") for line in lines]
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
        with contextlib.suppress(OSError):
            file.unlink()


def left(directory: Path) -> list[Path]:
    """What matches the patterns that `leave` was told."""
    try:
        patterns = (reading.read_text(directory / LEAVINGS) or "").splitlines()
    except reading.Unreadable:
        return []
    import glob  # for the few servers that leave something

    found: list[Path] = []
    for pattern in patterns:
        if len(pattern) < LONGEST:  # a damaged list may hold anything
            with contextlib.suppress(OSError, ValueError, re.error):
                found += map(Path, glob.glob(pattern))
    return found


def _digest(file: Path) -> str:
    import hashlib  # slow to import, and a keeper needs it only where something was handed out

    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as reading:
            return hashlib.sha256(reading.read(1_000_000)).hexdigest()
    except (OSError, ValueError):  # a damaged list may name anything
        return ""
