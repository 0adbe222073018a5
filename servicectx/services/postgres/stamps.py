"""Restore a database's directory: only files that the server has written since are copied again.

Every copied file has a stamp: a modification time in the distant past. A later write replaces the stamp, even if the
clock was set back meanwhile. So a file with the stamp and the original size is unchanged.
"""

import contextlib
import os
import stat
from collections.abc import Iterator

from servicectx.system import directories
from servicectx.system.removal import remove_entry

STAMP = 10**9  # modification time in nanoseconds since 1970
CHUNK = 1 << 20  # bytes


class CannotRestore(Exception):
    """These files cannot be restored; the database must be created from scratch."""


@contextlib.contextmanager
def _convert_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotRestore(str(error)) from None


def stamps_are_reliable(folder: str) -> bool:
    """Whether stamps in `folder` persist and writes replace them. Some file systems do not support this."""
    name = f"mark-{os.urandom(4).hex()}"
    try:
        with directories.reached(folder) as parent, _closing(directories.create_file(name, parent)) as writing:
            os.unlink(name, dir_fd=parent)
            os.utime(writing, ns=(STAMP, STAMP))
            stamped = _is_stamped(os.fstat(writing))
            os.write(writing, b"x")
            return stamped and not _is_stamped(os.fstat(writing))
    except OSError:
        return False


def sizes(folder: str) -> dict[str, int]:
    """The sizes of the files in `folder`. Raises CannotRestore if it contains anything else."""
    with _convert_errors(), directories.reached(folder) as here, os.scandir(here) as entries:
        found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    if not all(stat.S_ISREG(state.st_mode) for state in found.values()):
        raise CannotRestore(f"{folder} holds more than files")
    return {name: state.st_size for name, state in found.items()}


def stamp(folder: str) -> None:
    """Stamp all files in `folder`, which is not in use yet. Raises CannotRestore."""
    with _convert_errors(), directories.reached(folder) as here:
        owner = os.fstat(here).st_uid
        for name in os.listdir(here):
            if owner == os.geteuid():
                os.utime(name, ns=(STAMP, STAMP), dir_fd=here, follow_symlinks=False)
                continue
            file = directories.open_file(name, here, [owner])
            try:
                os.utime(file, ns=(STAMP, STAMP))
            finally:
                os.close(file)


def restore(folder: str, model: str, sizes: dict[str, int]) -> None:
    """Make the files in `folder`, which is not in use, equal to the files in `model`. Raises CannotRestore."""
    with _convert_errors(), directories.reached(folder) as here, directories.reached(model) as there:
        with os.scandir(here) as entries:
            found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
        kept = {name for name, state in found.items() if name in sizes and _is_plain(state)}
        for name in found.keys() - kept:
            os.unlink(name, dir_fd=here)
        same = {name for name in kept if _is_stamped(found[name]) and found[name].st_size == sizes[name]}
        owner = os.fstat(here)
        for name in sizes.keys() - same:
            _copy(name, there, here, owner)


def move(folder: str, to: str) -> None:
    """Rename a directory. `to` must not exist, or be empty. Raises CannotRestore."""
    with _convert_errors(), _parents(folder, to) as (source, target):
        os.rename(os.path.basename(folder), os.path.basename(to), src_dir_fd=source, dst_dir_fd=target)


def set_aside(folder: str, to: str) -> None:
    """Move a directory, and leave a link to it. On CannotRestore it stays in its place."""
    name, parked = os.path.basename(folder), os.path.basename(to)
    with _convert_errors(), _parents(folder, to) as (source, target):
        os.rename(name, parked, src_dir_fd=source, dst_dir_fd=target)
        try:
            os.symlink(to, name, dir_fd=source)
        except OSError:
            os.rename(parked, name, src_dir_fd=target, dst_dir_fd=source)
            raise


def unlink(path: str) -> None:
    """Remove a link. Raises CannotRestore."""
    with _convert_errors(), directories.reached(os.path.dirname(path)) as folder:
        os.unlink(os.path.basename(path), dir_fd=folder)


def remove(folder: str) -> None:
    """Remove a directory and its contents as far as possible."""
    with contextlib.suppress(OSError), directories.reached(os.path.dirname(folder)) as parent:
        remove_entry(parent, os.path.basename(folder))


def unlink_links(folder: str, to: str) -> None:
    """Remove the links in `folder` that lead to `to`, as far as possible."""
    with contextlib.suppress(OSError), directories.reached(folder) as parent, os.scandir(parent) as entries:
        for entry in entries:
            if entry.is_symlink() and os.readlink(entry.name, dir_fd=parent) == to:
                os.unlink(entry.name, dir_fd=parent)


def _copy(name: str, there: int, here: int, owner: os.stat_result) -> None:
    """Copy a file. An existing file is overwritten, which takes a third of the time."""
    original = directories.open_file(name, there, [owner.st_uid])
    with _closing(original) as reading, _writable(name, here, owner) as writing:
        while chunk := os.read(reading, CHUNK):
            while chunk:
                chunk = chunk[os.write(writing, chunk) :]
        os.ftruncate(writing, os.lseek(writing, 0, os.SEEK_CUR))
        os.utime(writing, ns=(STAMP, STAMP))


def _is_stamped(state: os.stat_result) -> bool:
    return state.st_mtime_ns == STAMP


def _is_plain(state: os.stat_result) -> bool:
    return stat.S_ISREG(state.st_mode) and state.st_nlink == 1


@contextlib.contextmanager
def _writable(name: str, folder: int, owner: os.stat_result) -> Iterator[int]:
    """A descriptor of a plain file of that owner, created if missing. Another account may have put a link there."""
    try:
        writing = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        writing = directories.create_file(name, folder)
        if owner.st_uid != os.geteuid():
            os.fchown(writing, owner.st_uid, owner.st_gid)
    with _closing(writing):
        status = os.fstat(writing)
        if not _is_plain(status) or status.st_uid != owner.st_uid:
            raise directories.Unsafe(f"{name} is not a file of the server")
        yield writing


@contextlib.contextmanager
def _parents(folder: str, to: str) -> Iterator[tuple[int, int]]:
    """The parent directories of both paths."""
    with directories.reached(os.path.dirname(folder)) as source, directories.reached(os.path.dirname(to)) as target:
        yield source, target


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
