"""A database's directory, made again what it was: only what the server has written since is copied anew.

Every file that was copied bears a mark: a time of its last modification that no clock tells any more. Whatever is
written to the file later replaces that, also where the clock was set back meanwhile. So a file that has the mark and
the right size is still as it was copied.
"""

import contextlib
import os
import stat
from collections.abc import Iterator

from servicectx.system import directories
from servicectx.system.removal import remove_entry

MARK = 10**9  # nanoseconds after 1970 began
CHUNK = 1 << 20  # bytes


class CannotRestore(Exception):
    """This cannot be done with these files; what they are for is to be made from nothing."""


@contextlib.contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotRestore(str(error)) from None


def stamps_are_reliable(folder: str) -> bool:
    """Whether marks in `folder` stay, and whether writing replaces them, as not every file system does."""
    name = f"mark-{os.urandom(4).hex()}"
    try:
        with directories.reached(folder) as place, _closing(directories.create_file(name, place)) as writing:
            os.unlink(name, dir_fd=place)
            os.utime(writing, ns=(MARK, MARK))
            marked = _is_marked(os.fstat(writing))
            os.write(writing, b"x")
            return marked and not _is_marked(os.fstat(writing))
    except OSError:
        return False


def sizes(folder: str) -> dict[str, int]:
    """The files in `folder`. Raises Unfit where something else is in it, too."""
    with _fitting(), directories.reached(folder) as here, os.scandir(here) as entries:
        found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    if not all(stat.S_ISREG(state.st_mode) for state in found.values()):
        raise CannotRestore(f"{folder} holds more than files")
    return {name: state.st_size for name, state in found.items()}


def stamp(folder: str) -> None:
    """Mark all files in `folder`, which nobody uses yet. Raises Unfit."""
    with _fitting(), directories.reached(folder) as here:
        owner = os.fstat(here).st_uid
        for name in os.listdir(here):
            if owner == os.geteuid():
                os.utime(name, ns=(MARK, MARK), dir_fd=here, follow_symlinks=False)
                continue
            file = directories.open_file(name, here, [owner])
            try:
                os.utime(file, ns=(MARK, MARK))
            finally:
                os.close(file)


def restore(folder: str, model: str, sizes: dict[str, int]) -> None:
    """Make the files in `folder`, which nobody uses any more, what those in `model` are. Raises Unfit."""
    with _fitting(), directories.reached(folder) as here, directories.reached(model) as there:
        with os.scandir(here) as entries:
            found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
        kept = {name for name, state in found.items() if name in sizes and _is_plain(state)}
        for name in found.keys() - kept:
            os.unlink(name, dir_fd=here)
        same = {name for name in kept if _is_marked(found[name]) and found[name].st_size == sizes[name]}
        owner = os.fstat(here)
        for name in sizes.keys() - same:
            _copy(name, there, here, owner)


def move(folder: str, to: str) -> None:
    """`to` must not be there, or be empty. Raises Unfit."""
    with _fitting(), _parents(folder, to) as (source, target):
        os.rename(os.path.basename(folder), os.path.basename(to), src_dir_fd=source, dst_dir_fd=target)


def set_aside(folder: str, to: str) -> None:
    """Move it, and leave a link to it. Raises Unfit; then it is where it was."""
    name, aside = os.path.basename(folder), os.path.basename(to)
    with _fitting(), _parents(folder, to) as (source, target):
        os.rename(name, aside, src_dir_fd=source, dst_dir_fd=target)
        try:
            os.symlink(to, name, dir_fd=source)
        except OSError:
            os.rename(aside, name, src_dir_fd=target, dst_dir_fd=source)
            raise


def unlink(path: str) -> None:
    """Raises Unfit."""
    with _fitting(), directories.reached(os.path.dirname(path)) as folder:
        os.unlink(os.path.basename(path), dir_fd=folder)


def remove(folder: str) -> None:
    """Remove a directory and all that is in it, as far as that can be done."""
    with contextlib.suppress(OSError), directories.reached(os.path.dirname(folder)) as parent:
        remove_entry(parent, os.path.basename(folder))


def unlink_links(place: str, to: str) -> None:
    """Remove the links in `place` that lead to `to`, as far as that can be done."""
    with contextlib.suppress(OSError), directories.reached(place) as folder, os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink() and os.readlink(entry.name, dir_fd=folder) == to:
                os.unlink(entry.name, dir_fd=folder)


def _copy(name: str, there: int, here: int, owner: os.stat_result) -> None:
    """Over what is there, if there is something: that takes a third of the time."""
    original = directories.open_file(name, there, [owner.st_uid])
    with _closing(original) as reading, _writable(name, here, owner) as writing:
        while chunk := os.read(reading, CHUNK):
            while chunk:
                chunk = chunk[os.write(writing, chunk) :]
        os.ftruncate(writing, os.lseek(writing, 0, os.SEEK_CUR))
        os.utime(writing, ns=(MARK, MARK))


def _is_marked(state: os.stat_result) -> bool:
    return state.st_mtime_ns == MARK


def _is_plain(state: os.stat_result) -> bool:
    return stat.S_ISREG(state.st_mode) and state.st_nlink == 1


@contextlib.contextmanager
def _writable(name: str, folder: int, owner: os.stat_result) -> Iterator[int]:
    """A descriptor of a plain file of that owner, made if need be. Another account may have put a link there."""
    try:
        writing = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        writing = directories.create_file(name, folder)
        if owner.st_uid != os.geteuid():
            os.fchown(writing, owner.st_uid, owner.st_gid)
    with _closing(writing):
        status = os.fstat(writing)
        if not _is_plain(status) or status.st_uid != owner.st_uid:
            raise directories.Unsafe(f"{name} is not a file of the server's")
        yield writing


@contextlib.contextmanager
def _parents(folder: str, to: str) -> Iterator[tuple[int, int]]:
    """The directories that hold the two."""
    with directories.reached(os.path.dirname(folder)) as source, directories.reached(os.path.dirname(to)) as target:
        yield source, target


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
