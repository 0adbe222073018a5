"""Calls that are repeated until a fault of the machine is over."""

import sys
from collections.abc import Callable
from typing import Any

from servicectx.errors import HomeError
from servicectx.system import faults
from servicectx.system.originals import time

FIRST, LONGEST = 0.005, 0.5  # seconds between two tries
SHORTAGE_TIME = 60.0  # seconds for a shortage to pass


class Pause:
    """Pauses that grow from failure to failure. The first fault, and then one a minute, is logged."""

    def __init__(self) -> None:
        self._written = 0.0
        self._length = FIRST
        self._began: float | None = None

    def after(self, error: Exception) -> float:
        """Log the fault, wait, and return the seconds since the first fault."""
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        if now > self._written:
            self._written = now + 60.0
            _log(error)
        time.sleep(self._length)
        self._length = min(LONGEST, 2 * self._length)
        return time.monotonic() - self._began

    def over(self) -> None:
        """Reset the pauses after a successful call."""
        self._length = FIRST
        self._began = None


def persist(action: Callable[..., Any], *arguments: Any, shortage: float = SHORTAGE_TIME) -> bool:
    """Call `action` until it raises no OSError or HomeError. False: the time is over.

    The time is `shortage` seconds for a shortage, and `faults.patience` for any other fault.
    """
    pause = Pause()
    while True:
        try:
            action(*arguments)
            return True
        except (OSError, HomeError) as error:
            if pause.after(error) > faults.patience(error, shortage):
                return False


def _log(error: Exception) -> None:
    try:
        sys.stderr.write(f"{time.strftime('%F %T')} {type(error).__name__}: {error}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # the log is full, or closed
