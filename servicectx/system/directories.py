"""Operations relative to open directories that another account may be able to write.

No link is followed, and every opened entry is checked before use: `Unsafe` is raised for an entry that another account
may have put there. A path would be resolved again in each operation, and could lead elsewhere by then.
"""

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

RUN = "run"  # the server's directory in a data container; the server's account owns it

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC  # a directory need not be readable
FILE = (
    os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
)  # without O_NONBLOCK, a FIFO would block until it has a writer
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Owners = Collection[int] | None  # user ids; None: any


class Unsafe(OSError):
    """An entry of an unexpected kind or owner."""


def enter(name: str | Path, parent: int | None = None, owners: Owners = None) -> int:
    """Open a directory that belongs to one of `owners`, and return its descriptor. Raises OSError."""
    directory = os.open(name, _DIRECTORY, dir_fd=parent)
    if owners is not None:
        try:
            _check_owner(name, os.fstat(directory), owners)
        except Unsafe:
            os.close(directory)
            raise
    return directory


def open_file(name: str | Path, parent: int | None = None, owners: Owners = None) -> int:
    """Open a regular file of one of `owners` for reading, and return its descriptor. Raises OSError."""
    file = os.open(name, FILE, dir_fd=parent)
    try:
        check_file(name, os.fstat(file), owners)
    except Unsafe:
        os.close(file)
        raise
    return file


def check_file(name: str | Path, status: os.stat_result, owners: Owners = None) -> None:
    """Raise Unsafe unless `status` is of a regular file of one of `owners`."""
    if not stat.S_ISREG(status.st_mode):
        raise Unsafe(f"{name} is not a regular file, so another account may have put it there")
    if owners is not None:
        _check_owner(name, status, owners)


def _check_owner(name: str | Path, status: os.stat_result, owners: Collection[int]) -> None:
    if status.st_uid not in owners:
        raise Unsafe(f"{name} belongs to user id {status.st_uid}, so another account may have put it there")


def make(name: str, parent: int) -> int:
    """Create the directory `name`, mode 0700, and return its descriptor. Raises OSError, also for an existing entry."""
    os.mkdir(name, 0o700, dir_fd=parent)
    return enter(name, parent, [os.geteuid()])


def create_file(name: str, parent: int, mode: int = 0o600) -> int:
    """Create a file for writing, and return its descriptor. Raises OSError, also for an existing entry or link."""
    return os.open(name, NEW_FILE, mode, dir_fd=parent)


@contextlib.contextmanager
def entered(name: str | Path, parent: int | None = None, owners: Owners = None) -> Iterator[int]:
    """Hold the descriptor of `enter` for the block."""
    directory = enter(name, parent, owners)
    try:
        yield directory
    finally:
        os.close(directory)


@contextlib.contextmanager
def parent_of(path: Path) -> Iterator[int]:
    """Hold a descriptor of the parent of `path` for the block. The path of the parent is trusted and may have links."""
    directory = os.open(path.parent, _SEARCH)
    try:
        yield directory
    finally:
        os.close(directory)


@contextlib.contextmanager
def reached(path: str | Path) -> Iterator[int]:
    """Hold a descriptor of the directory at `path` for the block. Raises OSError.

    The path of a data container is trusted. The server's account can put any entry below its `run`: from there on, no
    link is followed, and every directory must belong to the owner of `run`. In other paths, only the last part is
    checked.
    """
    container, found, below = f"{path}/".rpartition(f"/{RUN}/")
    if not found:
        with entered(path) as directory:
            yield directory
        return
    with contextlib.ExitStack() as stack:
        holder = os.open(container or "/", _SEARCH)
        stack.callback(os.close, holder)
        directory = stack.enter_context(entered(RUN, holder))
        owners = [os.fstat(directory).st_uid]
        for name in below.split("/"):
            if name:
                directory = stack.enter_context(entered(name, directory, owners))
        yield directory


@contextlib.contextmanager
def walked(*names: str) -> Iterator[int]:
    """Hold a descriptor of the directory with these path components for the block; no component may be a link.

    Its entries can be opened, but not listed. Raises OSError.
    """
    first, *rest = names
    directory = os.open(first, _SEARCH | os.O_NOFOLLOW)
    for name in rest:
        try:
            below = os.open(name, _SEARCH | os.O_NOFOLLOW, dir_fd=directory)
        finally:
            os.close(directory)
        directory = below
    try:
        yield directory
    finally:
        os.close(directory)
