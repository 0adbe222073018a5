"""Leases: one locked file for each user of an instance. The reference count is the number of locks held.

The kernel frees a lock when its holder dies, however it dies; what the file says about its user is for people.
"""

import contextlib
import errno
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx.errors import HomeError

if TYPE_CHECKING:
    from filelock import FileLock


class Lease:
    """One user's claim on an instance, locked until `release()` or the death of this process."""

    def __init__(self, path: Path, lock: "FileLock") -> None:
        self.path = path
        self._lock = lock

    def release(self) -> None:
        """Give the claim back. The second time, and in a forked child, nothing happens."""
        if self._lock.is_locked:
            self.path.unlink(missing_ok=True)
            self._lock.release(force=True)


def take(folder: Path, start: str) -> Lease | None:
    """A new lease in `folder`, or None when the folder is gone. `start` says when this process began."""
    from filelock import FileLock

    path = folder / f"{os.getpid()}-{os.urandom(4).hex()}"
    if not folder.is_dir():
        return None
    lock = FileLock(path, mode=0o600, thread_local=False, poll_interval=0.001, fallback_to_soft=False)
    try:
        lock.acquire(timeout=5)
        user = {"pid": os.getpid(), "start": start, "command": sys.argv or ["python"], "since": time.time()}
        with _for_people():
            path.write_text(json.dumps(user))
    except (FileNotFoundError, NotADirectoryError):
        lock.release(force=True)
        return None
    except OSError as error:
        cure = "free some space, or set SERVICECTX_HOME to a directory that has some"
        raise HomeError(path=str(path), problem=f"no lease: {error.strerror}", cure=cure) from None
    return Lease(path, lock)


@contextlib.contextmanager
def _for_people() -> Iterator[None]:
    """What nobody but people reads may be missing, on a full disk say."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def get_ready() -> None:
    """Import now what locks need, rather than at the moment when one is needed."""
    import filelock  # noqa: F401


def users(folder: Path) -> list[dict[str, Any]]:
    """Who holds a lease in `folder`. Leases that nobody holds are removed on the way."""
    found = []
    for path in _files(folder):
        descriptor = _open(path)
        if descriptor is None:
            continue
        try:
            if _is_free(descriptor):
                path.unlink(missing_ok=True)
            else:
                found.append(_said(descriptor, path))
        finally:
            os.close(descriptor)
    return found


def is_used(folder: Path) -> bool:
    """Whether anybody holds a lease in `folder`. A crowd that leaves asks this one by one, so the first one held ends
    the search."""
    for path in _files(folder):
        descriptor = _open(path)
        if descriptor is not None:
            try:
                if not _is_free(descriptor):
                    return True
                path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
    return False


def wait_until_free(folder: Path) -> None:
    """Block, without polling, until no lease in `folder` is held."""
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
                path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
        if not held:
            return


def _files(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
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
