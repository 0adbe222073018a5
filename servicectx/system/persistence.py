"""Calls that are repeated until the machine lets them succeed."""

import sys
from collections.abc import Callable
from typing import Any

from servicectx.errors import HomeError
from servicectx.system import faults
from servicectx.system.originals import time

FIRST, LONGEST = 0.005, 0.5  # seconds between two tries
SHORTAGE_TIME = 60.0  # seconds for a shortage to pass


class Pause:
    """Pauses that grow from one failure to the next. The first fault, and one a minute, goes into the log."""

    def __init__(self) -> None:
        self._written = 0.0
        self._length = FIRST
        self._began: float | None = None

    def after(self, error: Exception) -> float:
        """Write the fault down, wait; seconds since the first one."""
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        if now > self._written:
            self._written = now + 60.0
            _write_down(error)
        time.sleep(self._length)
        self._length = min(LONGEST, 2 * self._length)
        return time.monotonic() - self._began

    def over(self) -> None:
        """Begin anew: the call succeeded."""
        self._length = FIRST
        self._began = None


def persist(action: Callable[..., Any], *arguments: Any, shortage: float = SHORTAGE_TIME) -> bool:
    """Call `action` until no OSError or HomeError comes of it. False: it was given up.

    A shortage is waited out for `shortage` seconds, any other fault for as long as `faults.patience` allows.
    """
    pause = Pause()
    while True:
        try:
            action(*arguments)
            return True
        except (OSError, HomeError) as error:
            if pause.after(error) > faults.patience(error, shortage):
                return False


def _write_down(error: Exception) -> None:
    try:
        sys.stderr.write(f"{time.strftime('%F %T')} {type(error).__name__}: {error}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # the log is full, or closed
