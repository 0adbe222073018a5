"""The lock of a key: held while a process starts, stops or clears the instance of the key.

Other processes wait on the lock, so it is filelock's, unlike a lease. The kernel frees it at any death of its holder.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from servicectx.errors import HomeError
from servicectx.state.leases import Releasable
from servicectx.state.private_file import NO_SPACE_CURE
from servicectx.system import reading
from servicectx.system.descriptors import Identity, identity
from servicectx.system.interrupts import run_to_end
from servicectx.system.originals import json, time


class KeyLock:
    """The lock at `path`. Its file is removed on release, under the lock, unless there is a file at `state_file`."""

    def __init__(self, path: Path, state_file: Path) -> None:
        self.path = path
        self.state_file = state_file

    @contextlib.contextmanager
    def locked(self, wait: float = 0.0, held: list[Releasable] | None = None) -> Iterator[bool]:
        """Hold the lock for the block; False when it was not free within `wait` seconds. Raises HomeError.

        The lock is in `held` meanwhile: an interrupt can arrive between the end of the block and the release, and then
        the caller releases what is in the list.
        """
        from filelock import Timeout

        lock = HeldLock(self)
        if held is not None:
            held.append(lock)
        try:
            lock.acquire(wait)
        except Timeout:
            if held is not None:
                held.remove(lock)
            yield False
            return
        except OSError as error:
            cure = NO_SPACE_CURE if self.path.is_file() or not os.path.lexists(self.path) else "remove it"
            raise HomeError(path=str(self.path), problem=f"no lock: {error.strerror}", cure=cure) from None
        try:
            self._write_holder()
            yield True
        finally:
            try:
                lock.release()
            except BaseException:
                run_to_end(lock.release)  # a signal handler interrupted `release`
                raise
            if held is not None:
                held.remove(lock)

    def holder(self) -> str:
        """A description of the process that holds the lock, for messages."""
        try:
            record = json.loads(reading.read_text(self.path, 65536) or "")
            age = time.time() - record["since"]
            return f"process {record['pid']} ({' '.join(record['command'])}) has held the lock for {age:.1f} s"
        except (reading.Unreadable, ValueError, KeyError, TypeError):
            return "the lock file does not name its holder"

    def _write_holder(self) -> None:
        holder = {"pid": os.getpid(), "command": sys.argv or ["python"], "since": time.time()}
        with contextlib.suppress(OSError):
            self.path.write_text(json.dumps(holder))


class HeldLock:
    """The lock of one block. `release()` frees it if the block did not; the second time nothing happens."""

    def __init__(self, key_lock: KeyLock) -> None:
        self._key_lock = key_lock
        self._lock: FileLock = _lock_class()(
            key_lock.path, mode=0o600, thread_local=False, poll_interval=0.002, fallback_to_soft=False
        )

    def acquire(self, wait: float) -> None:
        """Lock the file within `wait` seconds. Raises filelock's Timeout, OSError."""
        from filelock import Timeout

        until = time.monotonic() + wait
        while not self._lock.is_locked:
            try:
                self._lock.acquire(blocking=False)  # a timeout would never expire where a test has frozen the clock
            except Timeout:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.002)

    def release(self) -> None:
        if not self._lock.is_locked:
            return
        try:
            if not os.path.lexists(self._key_lock.state_file):
                # Safe as the last act under the lock: filelock checks that the file still has its name, so a process
                # that waits on the removed file tries again on the new one.
                self._lock.remove_file()
        except OSError:
            self._lock.release(force=True)
            raise
        self._lock.release(force=True)  # not after an interrupt: the second call needs the lock to remove the file


def get_ready() -> None:
    """Import the modules of locks now, so that taking a lock imports nothing."""
    import shutil  # noqa: F401
    import subprocess  # noqa: F401

    _lock_class()


class FileLock(Protocol):
    """The part of filelock's lock that is used here, and `remove_file`."""

    @property
    def is_locked(self) -> bool: ...

    def acquire(self, *, blocking: bool | None = None) -> object:
        """Lock the file. Raises filelock's Timeout, OSError."""

    def remove_file(self) -> None:
        """Remove the file, unless another one is in its place. The lock is held."""

    def release(self, force: bool = False) -> None: ...


@functools.cache
def _lock_class() -> Any:
    """filelock's lock, safe against user code that closes its descriptor and reuses the number for another file."""
    from filelock import FileLock

    class SafeLock(FileLock):
        _ours: Identity | None = None

        def _acquire(self) -> None:
            super()._acquire()
            if self._context.lock_file_fd is not None:
                self._ours = identity(self._context.lock_file_fd)

        def remove_file(self) -> None:
            number = self._context.lock_file_fd
            ours = self._ours or (identity(number) if number is not None else None)
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(self.lock_file)
                if (status.st_dev, status.st_ino) == ours:
                    os.unlink(self.lock_file)

        def _release(self) -> None:
            number = self._context.lock_file_fd
            if number is None or self._ours is None or identity(number) == self._ours:
                super()._release()
            else:  # user code closed the descriptor, which freed the lock
                self._context.lock_file_fd = None

    return SafeLock
