"""Copies of directory trees, as cheap as is safe.

Source and target are open directories, and every step is relative to one. The copy is made in a directory that no
other account can enter. At the end it gets its owner, from the bottom up.
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

WORTHWHILE = 400  # files; fewer take no longer than the start of another process
DEEPEST = 100  # levels: each takes two descriptors


class Size(NamedTuple):
    """The number and size of the files in a tree, to detect an incomplete copy."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Any) -> "Size":
        return Size(self.files + other[0], self.bytes + other[1])


class Copied(NamedTuple):
    """The result of a copy: its size, the checksum of all names and contents, the stamps of all entries (see `stamp`).

    The checksum leaves out the content of linked files, which is not read.
    """

    size: Size
    checksum: int
    stamps: list[str] = []


class Folder(NamedTuple):
    """A directory of the source."""

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
    """The settings that all worker processes of one copy share."""

    owner: Owner | None
    link: bool
    owners: Owners
    workers: int


def copy_tree(
    source: Path | int,
    target: Path | Entry,
    owner: Owner | None = None,
    link: bool = False,
    workers: int = 1,
    exclude: str = "",
    owners: Owners = None,
) -> Copied:
    """Copy `source` to the new directory `target`, without the file `exclude`. Modes are kept, times are not.

    `source` may be an open directory, `target` a name in one. With `owner` every copy gets that user and group. With
    `link` files become hard links where that is possible: for programs, never for data that a server writes to.
    `workers` processes share the work; more than 1 only in a process without threads. Raises OSError, also where an
    entry of `source` belongs to none of `owners`.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, Path):
            source = stack.enter_context(directories.entered(source))
        entry = stack.enter_context(entry_of(target))
        return _copy_tree(source, entry, Job(owner, link, owners, workers), exclude)


@contextlib.contextmanager
def entry_of(target: Path | Entry) -> Iterator[Entry]:
    """Open the parent of `target` for the block, and return its entry there."""
    if isinstance(target, Entry):
        yield target
    else:
        with directories.parent_of(target) as parent:
            yield Entry(parent, target.name)


def _copy_tree(source: int, target: Entry, job: Job, exclude: str) -> Copied:
    lines: list[str] = []
    copy = directories.make(target.name, target.parent)
    try:
        tree = _make_folders(source, copy, "", "", job, lines)
        if exclude in tree.files:
            tree.files.remove(exclude)
        job = job._replace(workers=max(1, min(job.workers, _count(tree) // WORTHWHILE)))
        with contextlib.ExitStack() as stack:
            outputs = [
                stack.enter_context(_worker_process(tree, source, copy, job, worker))
                for worker in range(1, job.workers)
            ]
            done = [_copy_files(tree, source, copy, job, 0)]
            for output in outputs:
                files, size, checksum, *stamps = (output.read() or "0\n0\n0").split("\n")
                done.append(Copied(Size(int(files), int(size)), int(checksum), stamps))
        _finish(tree, copy, job.owner)
    finally:
        os.close(copy)
    total = sum(map(_checksum, lines)) + sum(copied.checksum for copied in done)
    for copied in done:
        lines += copied.stamps
    return Copied(sum((copied.size for copied in done), Size()), total, sorted(lines))


def cpu_count() -> int:
    """The number of processes that can run at once."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _make_folders(source: int, target: int, name: str, path: str, job: Job, lines: list[str]) -> Folder:
    """Make directories and links, and add a line for each to `lines`."""
    if path.count("/") > DEEPEST:
        raise OSError(errno.ENAMETOOLONG, f"directories are nested more than {DEEPEST} deep")
    folder = Folder(name, path, os.fstat(source).st_mode & 0o777, [], [])
    lines.append(_line("d", path, folder.mode))
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                folder.files.append(entry.name)
            elif entry.is_symlink():
                link_target = os.readlink(entry.name, dir_fd=source)
                os.symlink(link_target, entry.name, dir_fd=target)
                if job.owner:
                    os.chown(entry.name, *job.owner, dir_fd=target, follow_symlinks=False)
                lines.append(_line("l", f"{path}/{entry.name}", link_target))
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


def _line(kind: str, path: str, *values: object) -> str:
    """One entry on one line: paths may contain any character except a zero byte."""
    return " ".join([kind, *map(str, values), repr(path)])


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode(errors="surrogateescape"))


def stamp(path: str, status: os.stat_result) -> str:
    """The facts of the kernel about a file: a later write or a replacement of the file changes its times."""
    mode, size, times = status.st_mode & 0o777, status.st_size, f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"f {mode} {size} {status.st_ino} {times} {path!r}"


def _copy_files(folder: Folder, source: int, target: int, job: Job, worker: int) -> Copied:
    """Copy the share of one worker. The checksum depends neither on the order nor on the number of workers."""
    names, size, checksum, stamps = folder.files[worker :: job.workers], 0, 0, []
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
            copied = _copy_files(below, original, copy, job, worker)
        stamps += copied.stamps
        done = Copied(done.size + copied.size, done.checksum + copied.checksum, stamps)
    return done


@contextlib.contextmanager
def _worker_process(tree: Folder, source: int, target: int, job: Job, worker: int) -> Iterator[IO[str]]:
    """Fork a child that copies its share and writes the result of `_copy_files`. Raises OSError when it fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            copied = _copy_files(tree, source, target, job, worker)
            lines = [*map(str, (*copied.size, copied.checksum)), *copied.stamps]
            with open(writing, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write("\n".join(lines))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    try:
        with open(reading, encoding="utf-8", errors="surrogateescape") as file:
            yield file
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    if os.waitpid(child, 0)[1] != 0:
        raise OSError(f"{_count(tree)} files could not be copied")


def _is_own(name: str, folder: int) -> bool:
    """Whether only this user can write the file. A hard link is the same file, and its owner could change it."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _copy_file(name: str, source: int, target: int, checksum: int, job: Job) -> tuple[os.stat_result, int]:
    if job.link and _is_own(name, source):
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
            if mode & 0o077:  # the umask may have removed bits
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
    """Set modes and owners of directories, last: the mode may forbid writing, and the owner may write."""
    for below in folder.folders:
        with directories.entered(below.name, target) as copy:
            _finish(below, copy, owner)
    if folder.mode != 0o700:
        os.fchmod(target, folder.mode)
    if owner:
        os.fchown(target, *owner)


class Survey(NamedTuple):
    """The size and the stamps of a tree (as in `Copied`), without reading contents."""

    size: Size
    stamps: list[str]


def measure(folder: Path | int, exclude: str = "") -> Size:
    """The size of a tree without the file `exclude`. Raises OSError."""
    return survey(folder, exclude).size


def survey(folder: Path | int, exclude: str = "") -> Survey:
    """The size and the stamps of a tree without the file `exclude`. Raises OSError."""
    if isinstance(folder, Path):
        with directories.entered(folder) as directory:
            return survey(directory, exclude)
    stamps: list[str] = []
    size = _survey(folder, "", stamps, exclude)
    return Survey(size, sorted(stamps))


def _survey(directory: int, path: str, stamps: list[str], exclude: str = "") -> Size:
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
            elif entry.is_file(follow_symlinks=False) and entry.name != exclude:
                status = entry.stat(follow_symlinks=False)
                size += (1, status.st_size)
                stamps.append(stamp(within, status))
    return size
