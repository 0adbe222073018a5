"""Copies of directory trees, as cheap as is safe.

Source and target are open directories, and every step is relative to one. The copy grows in a directory that no other
account can enter; it gets its owner at last, from the bottom up.
"""

import contextlib
import errno
import os
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from servicectx.datadirs.file_copy import copy_contents
from servicectx.system import directories
from servicectx.system.directories import Owners

Owner = tuple[int, int]

WORTHWHILE = 400  # files: copying fewer takes no longer than starting another process
DEEPEST = 100  # levels: each takes two descriptors


class Size(NamedTuple):
    """What a tree holds: enough to tell a complete copy from one that lost something."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Any) -> "Size":
        return Size(self.files + other[0], self.bytes + other[1])


class Copied(NamedTuple):
    """What was read: its size, the checksum of all names and contents, and the stamps of all entries (see `stamps`).

    The content of files that were linked was not read.
    """

    size: Size
    checksum: int
    stamps: list[str] = []


class Folder(NamedTuple):
    """A directory of the source: its mode, the names of its files, its directories."""

    name: str
    path: str  # from the root of the tree, with a slash before each name
    mode: int
    files: list[str]
    folders: list["Folder"]


class Entry(NamedTuple):
    """A name in an open directory."""

    parent: int
    name: str


class Job(NamedTuple):
    """What all processes of one copy have in common."""

    owner: Owner | None
    link: bool
    owners: Owners
    hands: int


def copy_tree(
    source: Path | int,
    target: Path | Entry,
    owner: Owner | None = None,
    link: bool = False,
    hands: int = 1,
    but: str = "",
    owners: Owners = None,
) -> Copied:
    """Copy `source` to the new directory `target`, `but` for the file of that name. Modes are kept, times are not.

    `source` may be an open directory, `target` a name in one. With `owner` every copy gets that user and group. With
    `link` files become hard links where that is possible: for programs, never for data that a server writes to. With
    more `hands` that many processes share the work; only for a process without threads. Raises OSError, also where
    something in `source` belongs to none of `owners`.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, Path):
            source = stack.enter_context(directories.entered(source))
        entry = stack.enter_context(entry_of(target))
        return _copy_tree(source, entry, Job(owner, link, owners, hands), but)


@contextlib.contextmanager
def entry_of(target: Path | Entry) -> Iterator[Entry]:
    """The name in an open directory that `target` stands for, for the block."""
    if isinstance(target, Entry):
        yield target
    else:
        with directories.parent_of(target) as parent:
            yield Entry(parent, target.name)


def _copy_tree(source: int, target: Entry, job: Job, but: str) -> Copied:
    lines: list[str] = []
    copy = directories.make(target.name, target.parent)
    try:
        tree = _make_folders(source, copy, "", "", job, lines)
        if but in tree.files:
            tree.files.remove(but)
        job = job._replace(hands=max(1, min(job.hands, _count(tree) // WORTHWHILE)))
        with contextlib.ExitStack() as stack:
            others = [stack.enter_context(_helper(tree, source, copy, job, hand)) for hand in range(1, job.hands)]
            done = [_copy_files(tree, source, copy, job, 0)]
            for other in others:
                files, size, checksum, *stamps = (other.read() or "0\n0\n0").split("\n")
                done.append(Copied(Size(int(files), int(size)), int(checksum), stamps))
        _finish(tree, copy, job.owner)
    finally:
        os.close(copy)
    total = sum(map(_checksum, lines)) + sum(each.checksum for each in done)
    for each in done:
        lines += each.stamps
    return Copied(sum((each.size for each in done), Size()), total, sorted(lines))


def cpu_count() -> int:
    """How many processes can work at once."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _make_folders(source: int, target: int, name: str, path: str, job: Job, lines: list[str]) -> Folder:
    """Make directories and links; each has a line in `lines`."""
    if path.count("/") > DEEPEST:
        raise OSError(errno.ENAMETOOLONG, f"directories are nested more than {DEEPEST} deep")
    folder = Folder(name, path, os.fstat(source).st_mode & 0o777, [], [])
    lines.append(_line("d", path, folder.mode))
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                folder.files.append(entry.name)
            elif entry.is_symlink():
                meant = os.readlink(entry.name, dir_fd=source)
                os.symlink(meant, entry.name, dir_fd=target)
                if job.owner:
                    os.chown(entry.name, *job.owner, dir_fd=target, follow_symlinks=False)
                lines.append(_line("l", f"{path}/{entry.name}", meant))
            elif entry.is_dir(follow_symlinks=False):
                with directories.entered(entry.name, source, job.owners) as below:
                    copy = directories.make(entry.name, target)
                    try:
                        within = f"{path}/{entry.name}"
                        folder.folders.append(_make_folders(below, copy, entry.name, within, job, lines))
                    finally:
                        os.close(copy)
    return folder


def _count(folder: Folder) -> int:
    return len(folder.files) + sum(map(_count, folder.folders))


def _line(kind: str, path: str, *facts: object) -> str:
    """One entry, on one line: paths may hold any character but a zero byte."""
    return " ".join([kind, *map(str, facts), repr(path)])


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode(errors="surrogateescape"))


def stamp(path: str, status: os.stat_result) -> str:
    """What the kernel knows of a file: whatever is done to it later, or put in its place, changes its times."""
    mode, size, times = status.st_mode & 0o777, status.st_size, f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"f {mode} {size} {status.st_ino} {times} {path!r}"


def _copy_files(folder: Folder, source: int, target: int, job: Job, hand: int) -> Copied:
    """Copy the share of one process. The checksum is the same in whatever order, by however many hands."""
    names, size, checksum, stamps = folder.files[hand :: job.hands], 0, 0, []
    for name in names:
        path = f"{folder.path}/{name}"
        status, part = _copy_file(name, source, target, _checksum(path), job)
        size += status.st_size
        checksum += part
        stamps.append(stamp(path, status))
    done = Copied(Size(len(names), size), checksum, stamps)
    for below in folder.folders:
        with (
            directories.entered(below.name, source, job.owners) as original,
            directories.entered(below.name, target) as copy,
        ):
            copied = _copy_files(below, original, copy, job, hand)
        stamps += copied.stamps
        done = Copied(done.size + copied.size, done.checksum + copied.checksum, stamps)
    return done


@contextlib.contextmanager
def _helper(tree: Folder, source: int, target: int, job: Job, hand: int) -> Iterator[IO[str]]:
    """A child that copies its share, and writes what `_copy_files` gives. Raises OSError where it could not."""
    said, saying = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            copied = _copy_files(tree, source, target, job, hand)
            lines = [*map(str, (*copied.size, copied.checksum)), *copied.stamps]
            with open(saying, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write("\n".join(lines))
            status = 0
        finally:
            os._exit(status)
    os.close(saying)
    try:
        with open(said, encoding="utf-8", errors="surrogateescape") as file:
            yield file
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    if os.waitpid(child, 0)[1] != 0:
        raise OSError(f"{_count(tree)} files could not be copied")


def _copy_file(name: str, source: int, target: int, checksum: int, job: Job) -> tuple[os.stat_result, int]:
    if job.link:
        with contextlib.suppress(OSError):
            os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            return os.stat(name, dir_fd=target, follow_symlinks=False), 0
    reading = os.open(name, directories.FILE, dir_fd=source)
    try:
        status = os.fstat(reading)
        directories.check_file(name, status, job.owners)
        mode = status.st_mode & 0o777
        writing = os.open(name, directories.NEW_FILE, mode, dir_fd=target)
        try:
            if mode & 0o077:  # what a umask may have taken away
                os.fchmod(writing, mode)
            checksum = copy_contents(reading, writing, status.st_size, checksum)
            if job.owner:
                os.fchown(writing, *job.owner)
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return status, checksum


def _finish(folder: Folder, target: int, owner: Owner | None) -> None:
    """Directories get their modes and their owner last: the mode may forbid writing, the owner may write."""
    for below in folder.folders:
        with directories.entered(below.name, target) as copy:
            _finish(below, copy, owner)
    if folder.mode != 0o700:
        os.fchmod(target, folder.mode)
    if owner:
        os.fchown(target, *owner)


class Survey(NamedTuple):
    """What lies in a tree, from a look that reads no contents. `stamps` are those of `Copied`."""

    size: Size
    stamps: list[str]


def measure(folder: Path | int, but: str = "") -> Size:
    """What is in it, `but` for the file of that name. Raises OSError."""
    return survey(folder, but).size


def survey(folder: Path | int, but: str = "") -> Survey:
    """What is in it, `but` for the file of that name. Raises OSError."""
    if isinstance(folder, Path):
        with directories.entered(folder) as directory:
            return survey(directory, but)
    stamps: list[str] = []
    size = _survey(folder, "", stamps, but)
    return Survey(size, sorted(stamps))


def _survey(directory: int, path: str, stamps: list[str], but: str = "") -> Size:
    if path.count("/") > DEEPEST:
        raise OSError(errno.ENAMETOOLONG, f"directories are nested more than {DEEPEST} deep")
    size = Size()
    stamps.append(_line("d", path, os.fstat(directory).st_mode & 0o777))
    with os.scandir(directory) as entries:
        for entry in entries:
            within = f"{path}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                with directories.entered(entry.name, directory) as below:
                    size += _survey(below, within, stamps)
            elif entry.is_symlink():
                stamps.append(_line("l", within, os.readlink(entry.name, dir_fd=directory)))
            elif entry.is_file(follow_symlinks=False) and entry.name != but:
                status = entry.stat(follow_symlinks=False)
                size += (1, status.st_size)
                stamps.append(stamp(within, status))
    return size
