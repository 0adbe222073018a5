"""Locks that a process holds until it ends. The kernel frees them then, in every PID namespace."""

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from servicectx.errors import HomeError
from servicectx.state import leases
from servicectx.system import faults
from servicectx.system.originals import time

_of_this_process: list[int] = []


def _close_in_child() -> None:
    while _of_this_process:
        os.close(_of_this_process.pop())


os.register_at_fork(after_in_child=_close_in_child)


def hold(path: Path, text: str = "", in_children: bool = False) -> int:
    """Create the file at `path` if missing, lock it until this process ends, write `text`, and return its descriptor.

    Started programs do not inherit the lock; a forked child does only if `in_children`. Raises HomeError, also where
    another process holds the lock; FileNotFoundError where the directory is gone.
    """
    try:
        descriptor = leases.open_locked(path, os.O_RDWR | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        cure = "free some space, or set SERVICECTX_HOME to a directory that has some"
        raise faults.home_error(error, "no lock", str(path)) or HomeError(
            path=str(path), problem=f"no lock: {error.strerror}", cure=cure
        ) from None
    with contextlib.suppress(OSError):  # only the lock counts; the text serves messages
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
    if not in_children:
        _of_this_process.append(descriptor)
    return descriptor


def is_held(path: Path | str) -> bool:
    """Whether a process holds the lock; True in doubt, because an unreadable lock does not prove a death."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return not _is_foreign(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def take(path: Path, wait: float) -> int | None:
    """Take the lock of a dead holder, until the descriptor is closed; None where it is held or missing."""
    until = time.monotonic() + wait
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError:
            os.close(descriptor)
        if time.monotonic() > until:
            return None
        time.sleep(0.005)


def _is_foreign(path: Path | str) -> bool:
    """Whether the entry is not a regular file, so not this library's: a link, for example."""
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
