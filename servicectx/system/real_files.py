"""Access to the real file system while pyfakefs fakes it in this process."""

import sys
import threading
from types import TracebackType
from typing import Any

_lock = threading.Lock()
_users = 0
_paused: Any = None


class RealFiles:
    """A context manager that pauses pyfakefs with its own method for the block, unless it is already paused.

    Several threads may be inside at once. Without pyfakefs it only checks `sys.modules`.
    """

    def __enter__(self) -> None:
        self._entered = "pyfakefs.fake_filesystem_unittest" in sys.modules
        if self._entered:
            _pause()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._entered:
            _resume()


def _pause() -> None:
    global _users, _paused
    with _lock:
        _users += 1
        if _users == 1:
            patcher = getattr(sys.modules["pyfakefs.fake_filesystem_unittest"], "Patcher", None)
            active = getattr(patcher, "PATCHER", None)
            if active is not None and getattr(active, "is_patching", False):
                active.pause()
                _paused = active


def _resume() -> None:
    global _users, _paused
    with _lock:
        _users -= 1
        if not _users and _paused is not None:
            paused, _paused = _paused, None
            paused.resume()
