"""Copies of directory trees, as cheap as is safe."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

Owner = tuple[int, int]
Pair = tuple[str, str]  # from where to where

WORTHWHILE = 400  # files: copying fewer takes no longer than finding somebody to help


class Size(NamedTuple):
    """What a tree holds: enough to tell a complete copy from one that lost something."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Any) -> "Size":
        return Size(self.files + other[0], self.bytes + other[1])


def copy_tree(source: Path, target: Path, owner: Owner | None = None, link: bool = False, hands: int = 1) -> Size:
    """Copy `source` to the new directory `target`. Modes are kept, times are not.

    With `owner` every copy gets that user and group. With `link` files become hard links where that is possible:
    for programs, never for data that a server writes to. With more `hands` that many processes share the work; only
    for a process without threads.
    """
    folders: list[Pair] = []
    files: list[Pair] = []
    _make_folders(str(source), str(target), folders, files)
    hands = max(1, min(hands, len(files) // WORTHWHILE))
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(_helper(files[hand::hands], owner, link)) for hand in range(1, hands)]
        total = _copy_files(files[::hands], owner, link)
        total += sum(int(other.read() or 0) for other in others)
    for folder, copy in reversed(folders):
        mode = os.stat(folder).st_mode & 0o777
        if mode != 0o700:
            os.chmod(copy, mode)  # last: it may forbid writing
        if owner:
            os.chown(copy, *owner)
    return Size(len(files), total)


def all_hands() -> int:
    """How many processes can work at once."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _make_folders(source: str, target: str, folders: list[Pair], files: list[Pair]) -> None:
    """With plain strings: a start waits for a thousand files, and paths as objects would take a third of its time."""
    os.mkdir(target, 0o700)
    folders.append((source, target))
    with os.scandir(source) as entries:
        for entry in entries:
            path = f"{target}/{entry.name}"
            if entry.is_file(follow_symlinks=False):
                files.append((entry.path, path))
            elif entry.is_symlink():
                os.symlink(os.readlink(entry.path), path)
            elif entry.is_dir(follow_symlinks=False):
                _make_folders(entry.path, path, folders, files)


def _copy_files(files: list[Pair], owner: Owner | None, link: bool) -> int:
    return sum(_copy_file(source, target, owner, link) for source, target in files)


@contextlib.contextmanager
def _helper(files: list[Pair], owner: Owner | None, link: bool) -> Iterator[IO[str]]:
    """A child that copies these; what it says is how many bytes it were. Raises OSError where it could not."""
    said, saying = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(saying, str(_copy_files(files, owner, link)).encode())
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
    """The kernel copies where it can: within one file system, where btrfs, xfs and others let both files share blocks
    until one is written to; else through sendfile, else by hand.
    """
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
