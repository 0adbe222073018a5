"""A progress line for an action of more than a second; only written to a terminal."""

import sys
import threading

from servicectx.system.originals import time

DISPLAY_DELAY = 1.0  # seconds; a shorter action is not displayed

silent = False  # set by a program that has its own display


class Progress:
    """Write the action once it has lasted `DISPLAY_DELAY` seconds, and its duration at the end."""

    def __init__(self, action: str) -> None:
        self._action = action
        self._began = time.monotonic()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        if not silent and sys.stderr is not None and sys.stderr.isatty():
            self._timer = threading.Timer(DISPLAY_DELAY, self._write, [f"servicectx: {self._action} ..."])
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            took = time.monotonic() - self._began
            if took > DISPLAY_DELAY:
                self._write(f"servicectx: {self._action} took {took:.1f} s")

    def _write(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
