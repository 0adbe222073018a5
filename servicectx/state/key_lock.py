"""The lock of a key: held while a process starts, stops or clears the instance of the key.

Other processes wait on the lock, so it is filelock's, unlike a lease. The kernel frees it at any death of its holder.
A keeper takes the same lock without filelock (`kernel_lock`).
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from servicectx.errors import HomeError
from servicectx.state.leases import Releasable
from servicectx.state.private_file import NO_SPACE_CURE
from servicectx.system import reading
from servicectx.system.descriptors import Identity, identity
from servicectx.system.interrupts import run_to_end
from servicectx.system.originals import json, time
from servicectx.system.own_command import own_command


class KeyLock:
    """The lock at `path`. Its file is removed on release, under the lock, unless there is a file at `state_file`.

    `make` makes the lock of one block: filelock's, or a `KernelLock`.
    """

    def __init__(self, path: Path, state_file: Path, make: Callable[[Path], "FileLock"] | None = None) -> None:
        self.path = path
        self.state_file = state_file
        self.make = make or _safe_lock

    @contextlib.contextmanager
    def locked(self, wait: float = 0.0, held: list[Releasable] | None = None) -> Iterator[bool]:
        """Hold the lock for the block; False when it was not free within `wait` seconds. Raises HomeError.

        The lock is in `held` meanwhile: an interrupt can arrive between the end of the block and the release, and then
        the caller releases what is in the list.
        """
        lock = HeldLock(self)
        if held is not None:
            held.append(lock)
        try:
            if not lock.acquire(wait):
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
            record = reading.read_json(self.path, 65536)
            age = time.time() - record["since"]
            return f"process {record['pid']} ({' '.join(record['command'])}) has held the lock for {age:.1f} s"
        except (reading.Unreadable, ValueError, KeyError, TypeError):
            return "the lock file does not name its holder"

    def _write_holder(self) -> None:
        holder = {"pid": os.getpid(), "command": own_command(), "since": time.time()}
        with contextlib.suppress(OSError):
            self.path.write_text(json.dumps(holder))


class HeldLock:
    """The lock of one block. `release()` frees it if the block did not; the second time nothing happens."""

    def __init__(self, key_lock: KeyLock) -> None:
        self._key_lock = key_lock
        self._lock = key_lock.make(key_lock.path)

    def acquire(self, wait: float) -> bool:
        """Lock the file within `wait` seconds; False if it was not free. Raises OSError."""
        until = time.monotonic() + wait
        while not self._lock.is_locked and not self._lock.try_lock():
            if time.monotonic() >= until:
                return False
            time.sleep(0.002)
        return True

    def release(self) -> None:
        if not self._lock.is_locked:
            return
        try:
            if not os.path.lexists(self._key_lock.state_file):
                # Safe as the last act under the lock: filelock checks that the file still has its name, so a process
                # that waits on the removed file tries again on the new one.
                self._lock.remove_file()
        except OSError:
            self._lock.free()
            raise
        self._lock.free()  # not after an interrupt: the second call needs the lock to remove the file


class FileLock(Protocol):
    """The lock of one block."""

    @property
    def is_locked(self) -> bool: ...

    def try_lock(self) -> bool:
        """Lock the file; False where another process holds it. Raises OSError."""

    def remove_file(self) -> None:
        """Remove the file, unless another one is in its place. The lock is held."""

    def free(self) -> None:
        """Free the lock. A second call does nothing."""


def _safe_lock(path: Path) -> FileLock:
    lock: FileLock = _safe_lock_class()(
        path, mode=0o600, thread_local=False, poll_interval=0.002, fallback_to_soft=False
    )
    return lock


@functools.cache
def _safe_lock_class() -> Any:
    """filelock's lock, safe against user code that closes its descriptor and reuses the number for another file."""
    from filelock import FileLock, Timeout

    class SafeLock(FileLock):
        _ours: Identity | None = None

        def try_lock(self) -> bool:
            try:
                self.acquire(blocking=False)  # a timeout would never expire where a test has frozen the clock
            except Timeout:
                return False
            return True

        def free(self) -> None:
            self.release(force=True)

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
