"""Leases: one locked file for each user of an instance. The reference count is the number of locks held.

The kernel frees a lock when its holder dies, however it dies; what the file says about its user is for people.
"""

import contextlib
import errno
import fcntl
import functools
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx.errors import HomeError
from servicectx.system import faults
from servicectx.system.descriptors import Descriptor, Identity, identity
from servicectx.system.originals import json, time

if TYPE_CHECKING:
    from filelock import FileLock

_NO_LEASE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)  # removed meanwhile, or not made by us

PATIENCE = 5.0  # seconds; whoever counts holds a new lease's file for an instant


class Lease:
    """One user's claim on an instance, locked until `release()` or the death of this process.

    A plain flock: it is taken in microseconds, without a wait, by whoever joins. (The key's lock, which people wait
    for, is filelock's.) A forked child shares the lock until it closes its copy, which it does at once.
    """

    removes = True  # its file when it is given back

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = Descriptor(descriptor)
        self._pid = os.getpid()
        _held.add(self._descriptor)

    def release(self) -> None:
        """Give the claim back. The second time, and in a forked child, nothing happens.

        The lock is what counts, so it is freed first. A process that may not remove the file any more (it gave up its
        rights, the home turned read-only) leaves the file to the keeper.
        """
        if self._pid == os.getpid():
            self._descriptor.close()
            self._pid = 0
            _held.discard(self._descriptor)
            if self.removes:
                with contextlib.suppress(OSError):
                    self.path.unlink()

    def __del__(self) -> None:
        self.release()


_held: set[Descriptor] = set()


def _let_go_in_child() -> None:
    for descriptor in _held:
        descriptor.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


def take(folder: Path, start: str) -> Lease | None:
    """A new lease in `folder`, or None when the folder is gone. `start` says when this process began."""
    path = folder / f"{os.getpid()}-{os.urandom(4).hex()}"
    user = {"pid": os.getpid(), "start": start, "command": sys.argv or ["python"], "since": time.time()}
    try:
        descriptor = open_locked(path)
        with contextlib.suppress(OSError):  # what nobody but people reads may be missing, on a full disk say
            os.write(descriptor, json.dumps(user).encode())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        cure = "free some space, or set SERVICECTX_HOME to a directory that has some"
        raise HomeError(path=str(path), problem=f"no lease: {error.strerror}", cure=cure) from None
    return Lease(path, descriptor)


def open_locked(path: Path) -> int:
    """Make the file and lock it. Whoever counted in between took it for a dead user's and removed it: once more."""
    until = time.monotonic() + PATIENCE
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(descriptor)
                raise
            time.sleep(0.0005)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def get_ready() -> None:
    """Import now what locks need, rather than at the moment when one is needed."""
    import shutil  # noqa: F401
    import subprocess  # noqa: F401

    _lock_class()


def key_lock(path: Path) -> "FileLock":
    """The lock that processes wait for, not locked yet."""
    return _lock_class()(path, mode=0o600, thread_local=False, poll_interval=0.002, fallback_to_soft=False)


@functools.cache
def _lock_class() -> "type[FileLock]":
    """filelock's lock, which never unlocks or closes a file that user code opened under its number meanwhile."""
    from filelock import FileLock

    class KeyLock(FileLock):
        _ours: Identity | None = None

        def _acquire(self) -> None:
            super()._acquire()
            if self._context.lock_file_fd is not None:
                self._ours = identity(self._context.lock_file_fd)

        def _release(self) -> None:
            number = self._context.lock_file_fd
            if number is None or identity(number) == self._ours:
                super()._release()
            else:  # closed by user code, and with it the lock went
                self._context.lock_file_fd = None

    return KeyLock


def users(folder: Path) -> list[dict[str, Any]]:
    """Who holds a lease in `folder`. Leases that nobody holds are removed on the way.

    Raises HomeError where they cannot be looked at: then nobody may be taken for gone.
    """
    found = []
    try:
        for path in _files(folder):
            descriptor = _open(path)
            if descriptor is None:
                continue
            try:
                if _is_free(descriptor):
                    _remove(path)
                else:
                    found.append(_said(descriptor, path))
            finally:
                os.close(descriptor)
    except OSError as error:
        problem = "leases not counted"
        raise faults.home_error(error, problem, str(folder)) or HomeError(
            path=str(folder), problem=f"{problem}: {error.strerror}", cure="see the reason"
        ) from None
    return found


def is_used(folder: Path) -> bool:
    """Whether anybody holds a lease in `folder`; True as well where that cannot be known, for want of descriptors say.

    A crowd that leaves asks this one by one, so the first one held ends the search.
    """
    try:
        return _is_any_held(folder)
    except OSError:
        return True


def _is_any_held(folder: Path) -> bool:
    for path in _files(folder):
        descriptor = _open(path)
        if descriptor is not None:
            try:
                if not _is_free(descriptor):
                    return True
                _remove(path)
            finally:
                os.close(descriptor)
    return False


def wait_until_free(folder: Path) -> None:
    """Block, without polling, until no lease in `folder` is held. Raises OSError where they cannot be looked at."""
    while True:
        held = 0
        for path in _files(folder):
            descriptor = _open(path)
            if descriptor is None:
                continue
            try:
                if not _is_free(descriptor):
                    held += 1
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
                _remove(path)
            finally:
                os.close(descriptor)
        if not held:
            return


def _remove(path: Path) -> None:
    """Remove a lease that no process holds. On a read-only file system it stays, and counts for nothing."""
    with contextlib.suppress(OSError):
        path.unlink()


def _files(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _open(path: Path) -> int | None:
    """None: there is no lease of that name. Raises OSError for one that may well be held."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_LEASE:
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _said(descriptor: int, path: Path) -> dict[str, Any]:
    try:
        said = json.loads(os.read(descriptor, 65536))
    except ValueError:
        said = {}  # its user has not written it yet
    pid = path.name.partition("-")[0]
    return said if isinstance(said, dict) and "pid" in said else {"pid": int(pid) if pid.isdigit() else 0}
