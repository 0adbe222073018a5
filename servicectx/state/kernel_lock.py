"""The lock of a key in a keeper: the `flock` that filelock takes, on the same file.

A keeper takes the lock of its key once, at its end. filelock loads 40 modules, which was a quarter of the instructions
of a keeper's imports. A caller runs foreign code, and uses filelock (`key_lock`).
"""

import contextlib
import fcntl
import os
from pathlib import Path

_MODE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_held: set["KernelLock"] = set()


class KernelLock:
    """An unlocked lock on the file at `path`. Started programs and forked children do not inherit it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_locked(self) -> bool:
        return self._descriptor is not None

    def try_lock(self) -> bool:
        """Lock the file, which is made if it is missing. False where another process holds it. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, _MODE, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:  # 0: the previous holder removed the file
                self._descriptor = descriptor
                _held.add(self)
        except (BlockingIOError, PermissionError):  # file systems report a held lock in two ways
            pass
        finally:
            if self._descriptor is None:
                os.close(descriptor)
        return self.is_locked

    def remove_file(self) -> None:
        """Remove the file, unless another one is in its place. The lock is held."""
        assert self._descriptor is not None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.lstat(self._path), os.fstat(self._descriptor)):
                os.unlink(self._path)

    def free(self) -> None:
        """Free the lock, also for forked children that share it. A second call does nothing."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                _held.discard(self)
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            finally:
                os.close(descriptor)  # also when a signal interrupts it: no other object knows the descriptor


def _close_in_child() -> None:
    for lock in _held:
        if lock._descriptor is not None:
            os.close(lock._descriptor)
            lock._descriptor = None
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
