"""Copies of directory trees, as cheap as is safe."""

import contextlib
import os
from pathlib import Path
from typing import Any, NamedTuple

Owner = tuple[int, int]


class Size(NamedTuple):
    """What a tree holds: enough to tell a complete copy from one that lost something."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Any) -> "Size":
        return Size(self.files + other[0], self.bytes + other[1])


def copy_tree(source: Path, target: Path, owner: Owner | None = None, link: bool = False) -> Size:
    """Copy `source` to the new directory `target`. Modes are kept, times are not.

    With `owner` every copy gets that user and group. With `link` files become hard links where that is possible:
    for programs, never for data that a server writes to.
    """
    files, total = _copy_tree(str(source), str(target), owner, link)
    return Size(files, total)


def _copy_tree(source: str, target: str, owner: Owner | None, link: bool) -> tuple[int, int]:
    """With plain strings: a start waits for a thousand files, and paths as objects would take a third of its time."""
    os.mkdir(target, 0o700)
    files = total = 0
    with os.scandir(source) as entries:
        for entry in entries:
            path = f"{target}/{entry.name}"
            if entry.is_file(follow_symlinks=False):
                files += 1
                total += _copy_file(entry.path, path, owner, link)
            elif entry.is_symlink():
                os.symlink(os.readlink(entry.path), path)
            elif entry.is_dir(follow_symlinks=False):
                inside = _copy_tree(entry.path, path, owner, link)
                files, total = files + inside[0], total + inside[1]
    mode = os.stat(source).st_mode & 0o777
    if mode != 0o700:
        os.chmod(target, mode)  # last: it may forbid writing
    if owner:
        os.chown(target, *owner)
    return files, total


def measure(folder: Path) -> Size:
    size = Size()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                size += measure(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                size += (1, entry.stat(follow_symlinks=False).st_size)
    return size


def _copy_file(source: str, target: str, owner: Owner | None, link: bool) -> int:
    if link:
        with contextlib.suppress(OSError):
            os.link(source, target, follow_symlinks=False)
            return os.stat(target).st_size
    reading = os.open(source, os.O_RDONLY)
    try:
        status = os.fstat(reading)
        mode = status.st_mode & 0o777
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            if mode & 0o077:  # what a umask may have taken away
                os.fchmod(writing, mode)
            _pour(reading, writing, status.st_size)
            if owner:
                os.fchown(writing, *owner)
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return status.st_size


def _pour(reading: int, writing: int, size: int) -> None:
    """The kernel copies where it can: within one file system, else through sendfile, else by hand."""
    left = size
    for move in (_copy_range, _send):
        try:
            while left and (moved := move(reading, writing, left)):
                left -= moved
        except (OSError, AttributeError):  # another file system, an old kernel, another system
            continue
    while left and (chunk := os.read(reading, min(left, 1 << 20))):
        left -= len(chunk)
        while chunk:
            chunk = chunk[os.write(writing, chunk) :]


def _copy_range(reading: int, writing: int, count: int) -> int:
    return os.copy_file_range(reading, writing, count)


def _send(reading: int, writing: int, count: int) -> int:
    return os.sendfile(writing, reading, None, count)
