"""Half-made entries of the cache, each locked by its maker until it is renamed or removed.

    .half-RANDOM.lock    made and locked before the entry, removed after it
    .half-RANDOM         the entry: a copy in progress, or one that is being removed

The kernel frees the lock at any death of the maker, in every PID namespace: no process id is compared. An entry without
a lock file of this library is never removed.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from servicectx.state import leases
from servicectx.system import directories, reading
from servicectx.system.descriptors import Descriptor
from servicectx.system.removal import remove_entry, remove_tree

LOCK = ".lock"
_NAME = re.compile(r"(\.half-[0-9a-f]{16})\.lock", re.ASCII)
_WRITABLE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NFS locks no file that is read-only
_MARK = "servicectx: the lock of a half-made entry\n"


@contextlib.contextmanager
def half_made(folder: Path) -> Iterator[Path]:
    """A new path in `folder` for the block. At the end an entry at this path is removed, unless it was renamed.

    `folder` is created if it is missing. Entries of dead makers in it are removed first. Raises OSError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_abandoned(folder)
    path = folder / f".half-{os.urandom(8).hex()}"
    lock = path.with_name(f"{path.name}{LOCK}")
    try:
        locked = Descriptor(leases.open_locked(lock))
    except OSError:  # a file system without locks: without one, the file cannot be recognised as abandoned
        lock.unlink(missing_ok=True)
        raise
    try:
        os.write(locked.number, _MARK.encode())
        yield path
    finally:
        remove_tree(path)
        if not os.path.lexists(path):  # otherwise the next user of the folder removes it by its lock file
            with contextlib.suppress(OSError):
                lock.unlink()
        locked.close()


def remove_abandoned(folder: Path) -> None:
    """Remove the half-made entries of dead makers in `folder`. Raises OSError where it cannot be read."""
    for name in os.listdir(folder):
        if found := _NAME.fullmatch(name):
            with contextlib.suppress(OSError, reading.Unreadable), directories.parent_of(folder / name) as parent:
                _remove(parent, name, found[1])


def _remove(parent: int, lock: str, entry: str) -> None:
    """Remove an entry and its lock, unless the maker lives. A maker that was killed early wrote a part of the mark."""
    text = reading.read_text(lock, 4096, parent)
    if text is None or not _MARK.startswith(text):
        return
    descriptor = os.open(lock, _WRITABLE, dir_fd=parent)
    try:
        directories.check_file(lock, os.fstat(descriptor), [os.geteuid()])
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its maker lives
        if os.fstat(descriptor).st_nlink:  # otherwise removed meanwhile, and perhaps made anew by a living maker
            remove_entry(parent, entry)
            if not _is_there(parent, entry):
                os.unlink(lock, dir_fd=parent)
    finally:
        os.close(descriptor)


def _is_there(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
