"""Locks that a process holds for life. The kernel frees them at its death, for every PID namespace."""

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from servicectx.errors import HomeError
from servicectx.system import faults
from servicectx.system.originals import time

LOCK_TIME = 5.0  # seconds; a process that looks holds the lock for an instant

_of_this_process: list[int] = []


def _close_in_child() -> None:
    while _of_this_process:
        os.close(_of_this_process.pop())


os.register_at_fork(after_in_child=_close_in_child)


def hold(path: Path, text: str = "", in_children: bool = False) -> int:
    """Make the file at `path` if need be, lock it until this process ends, and write `text` to it; its descriptor.

    No program that is started inherits the lock, and a forked child only if `in_children`. Raises HomeError, also
    where another process holds the lock; FileNotFoundError where the directory is gone.
    """
    try:
        descriptor = _locked(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        cure = "free some space, or set SERVICECTX_HOME to a directory that has some"
        raise faults.home_error(error, "no lock", str(path)) or HomeError(
            path=str(path), problem=f"no lock: {error.strerror}", cure=cure
        ) from None
    with contextlib.suppress(OSError):  # the lock counts; only people read the text
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
    if not in_children:
        _of_this_process.append(descriptor)
    return descriptor


def is_held(path: Path) -> bool:
    """Whether a process holds the lock. In doubt it does: a lock that cannot be looked at proves no death."""
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
    """The lock of a holder that is dead, for as long as the descriptor is open; None: it is held, or not there."""
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


def _is_foreign(path: Path) -> bool:
    """Whether there is something else than a file of this library's in its place: a link, say."""
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _locked(path: Path) -> int:
    until = time.monotonic() + LOCK_TIME
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(descriptor)
                raise
            time.sleep(0.001)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
