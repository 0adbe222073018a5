"""Leases: one locked file for each user of an instance. The reference count is the number of locks held.

The kernel frees a lock at any death of its holder. The text of the file only serves messages.
"""

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Any, Protocol

from servicectx.errors import HomeError
from servicectx.system import faults, reading
from servicectx.system.descriptors import Descriptor
from servicectx.system.originals import json, time
from servicectx.system.own_command import own_command

NO_LEASE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)  # removed meanwhile, or a foreign file

LOCK_TIMEOUT = 5.0  # seconds; a process that counts or checks holds the lock for an instant


class Releasable(Protocol):
    """A lease or a lock that this process holds."""

    def release(self) -> None: ...


class Lease:
    """One user's claim on an instance, locked until `release()` or the death of this process.

    The lock is a plain flock, which a join takes in microseconds without a wait. (The key's lock, on which processes
    wait, is filelock's.) A forked child shares the lock until it closes its copy, right after the fork.
    """

    removes = True  # whether `release` removes the file

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = Descriptor(descriptor)
        self._pid = os.getpid()
        _held.add(self._descriptor)

    def release(self) -> None:
        """Release the lease. A second call, and a call in a forked child, does nothing.

        Only the lock counts, so it is freed first. A process that cannot remove the file (it dropped its privileges, or
        the home is now read-only) leaves the file to the keeper.
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


def _close_in_child() -> None:
    for descriptor in _held:
        descriptor.close()
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


def take(folder: Path, start: str) -> Lease | None:
    """A new lease in `folder`, or None when the folder is gone. `start` is the start time of this process."""
    path = folder / f"{os.getpid()}-{os.urandom(4).hex()}"
    user = {"pid": os.getpid(), "start": start, "command": own_command(), "since": time.time()}
    try:
        descriptor = open_locked(path)
        with contextlib.suppress(OSError):  # no process reads the text, so a full disk may prevent it
            os.write(descriptor, json.dumps(user).encode())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        cure = "free some space, or set SERVICECTX_HOME to a directory that has some"
        raise HomeError(path=str(path), problem=f"no lease: {error.strerror}", cure=cure) from None
    return Lease(path, descriptor)


def open_locked(path: Path, access: int = os.O_WRONLY) -> int:
    """Create the file if need be, and lock it. Repeat if another process removed the file before it was locked."""
    until = time.monotonic() + LOCK_TIMEOUT
    while True:
        descriptor = os.open(path, access | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
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


def users(folder: Path) -> list[dict[str, Any]]:
    """The users that hold a lease in `folder`. Leases without a holder are removed.

    Raises HomeError where leases cannot be read: then no user may be counted as gone.
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
                    found.append(_user_record(descriptor, path))
            finally:
                os.close(descriptor)
    except OSError as error:
        problem = "leases not counted"
        raise faults.home_error(error, problem, str(folder)) or HomeError(
            path=str(folder), problem=f"{problem}: {error.strerror}", cure="see the reason"
        ) from None
    return found


def is_used(folder: Path) -> bool:
    """Whether a lease in `folder` is held; True in doubt, such as without free descriptors.

    Each of many leaving users calls this, so the search ends at the first held lease.
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
    """Block, without polling, until no lease in `folder` is held. Raises OSError where leases cannot be read."""
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
    """Remove a lease that no process holds. On a read-only file system it stays, without being counted."""
    with contextlib.suppress(OSError):
        path.unlink()


def _files(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _open(path: Path) -> int | None:
    """A descriptor, or None without a lease of that name. Raises OSError for a lease that may be held."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in NO_LEASE:
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


def _user_record(descriptor: int, path: Path) -> dict[str, Any]:
    try:
        record = reading.parse_json(os.read(descriptor, 65536))
    except ValueError:
        record = None  # its user has not written the text yet
    pid = path.name.partition("-")[0]
    named = {"pid": int(pid) if pid.isascii() and pid.isdigit() else 0}
    items = record.items() if isinstance(record, dict) else ()
    return named | {name: value for name, value in items if _is_valid(name, value)}


_KINDS: dict[str, Any] = {"pid": int, "start": str, "command": list, "since": (int, float)}


def _is_valid(name: str, value: object) -> bool:
    if name not in _KINDS or not isinstance(value, _KINDS[name]):
        return False
    if name == "since":
        return reading.is_bounded(value)
    return not isinstance(value, list) or all(isinstance(item, str) for item in value)
