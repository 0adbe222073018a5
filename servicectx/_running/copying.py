"""Copies of directory trees, as cheap as is safe."""

import contextlib
import os
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from servicectx._running.pouring import pour

Owner = tuple[int, int]
Pair = tuple[str, str]  # from where to where

WORTHWHILE = 400  # files: copying fewer takes no longer than finding somebody to help


class Size(NamedTuple):
    """What a tree holds: enough to tell a complete copy from one that lost something."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Any) -> "Size":
        return Size(self.files + other[0], self.bytes + other[1])


class Copied(NamedTuple):
    """What was read, and the checksum of all names and contents. What was linked was not read."""

    size: Size
    checksum: int


def copy_tree(
    source: Path, target: Path, owner: Owner | None = None, link: bool = False, hands: int = 1, but: str = ""
) -> Copied:
    """Copy `source` to the new directory `target`, `but` for the file of that name. Modes are kept, times are not.

    With `owner` every copy gets that user and group. With `link` files become hard links where that is possible:
    for programs, never for data that a server writes to. With more `hands` that many processes share the work; only
    for a process without threads.
    """
    folders: list[Pair] = []
    files: list[Pair] = []
    root = len(str(target))
    checksum = _make_folders(str(source), str(target), root, folders, files)
    files = [pair for pair in files if pair[1][root + 1 :] != but]
    hands = max(1, min(hands, len(files) // WORTHWHILE))
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(_helper(files[hand::hands], root, owner, link)) for hand in range(1, hands)]
        done = [_copy_files(files[::hands], root, owner, link)]
        done += [tuple(map(int, (other.read() or "0 0").split())) for other in others]
    for folder, copy in reversed(folders):
        mode = os.stat(folder).st_mode & 0o777
        if mode != 0o700:
            os.chmod(copy, mode)  # last: it may forbid writing
        if owner:
            os.chown(copy, *owner)
    return Copied(Size(len(files), sum(each[0] for each in done)), checksum + sum(each[1] for each in done))


def all_hands() -> int:
    """How many processes can work at once."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _make_folders(source: str, target: str, root: int, folders: list[Pair], files: list[Pair]) -> int:
    """Folders and links; their checksum. Below `root` characters the names are the same on both sides.

    With plain strings: a start waits for a thousand files, and paths as objects would take a third of its time.
    """
    os.mkdir(target, 0o700)
    checksum = _checksum(target[root:], "/")
    folders.append((source, target))
    with os.scandir(source) as entries:
        for entry in entries:
            path = f"{target}/{entry.name}"
            if entry.is_file(follow_symlinks=False):
                files.append((entry.path, path))
            elif entry.is_symlink():
                meant = os.readlink(entry.path)
                os.symlink(meant, path)
                checksum += _checksum(path[root:], meant)
            elif entry.is_dir(follow_symlinks=False):
                checksum += _make_folders(entry.path, path, root, folders, files)
    return checksum


def _checksum(*texts: str) -> int:
    return zlib.crc32("\0".join(texts).encode(errors="surrogateescape"))


def _copy_files(files: list[Pair], root: int, owner: Owner | None, link: bool) -> tuple[int, ...]:
    """Their bytes, and a checksum that is the same in whatever order, by however many hands."""
    size = checksum = 0
    for source, target in files:
        copied = _copy_file(source, target, _checksum(target[root:]), owner, link)
        size += copied[0]
        checksum += copied[1]
    return size, checksum


@contextlib.contextmanager
def _helper(files: list[Pair], root: int, owner: Owner | None, link: bool) -> Iterator[IO[str]]:
    """A child that copies these; what it says is what `_copy_files` gives. Raises OSError where it could not."""
    said, saying = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            size, checksum = _copy_files(files, root, owner, link)
            os.write(saying, f"{size} {checksum}".encode())
            status = 0
        finally:
            os._exit(status)
    os.close(saying)
    try:
        with open(said) as file:
            yield file
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    if os.waitpid(child, 0)[1] != 0:
        raise OSError(f"{len(files)} files could not be copied")


def measure(folder: Path, but: str = "") -> Size:
    """What is in it, `but` for the file of that name."""
    size = Size()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                size += measure(Path(entry.path))
            elif entry.is_file(follow_symlinks=False) and entry.name != but:
                size += (1, entry.stat(follow_symlinks=False).st_size)
    return size


def _copy_file(source: str, target: str, checksum: int, owner: Owner | None, link: bool) -> tuple[int, int]:
    if link:
        with contextlib.suppress(OSError):
            os.link(source, target, follow_symlinks=False)
            return os.stat(target).st_size, 0
    reading = os.open(source, os.O_RDONLY)
    try:
        status = os.fstat(reading)
        mode = status.st_mode & 0o777
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            if mode & 0o077:  # what a umask may have taken away
                os.fchmod(writing, mode)
            checksum = pour(reading, writing, status.st_size, checksum)
            if owner:
                os.fchown(writing, *owner)
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return status.st_size, checksum
