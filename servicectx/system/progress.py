"""A line for people when something takes more than a second; nothing where no terminal listens."""

import sys
import threading

from servicectx.system.originals import time

PATIENCE = 1.0

silent = False  # set by a program that shows the same in its own way


class Progress:
    """Says what goes on once it has lasted `PATIENCE` seconds, and how long it took."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._began = time.monotonic()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        if not silent and sys.stderr is not None and sys.stderr.isatty():
            self._timer = threading.Timer(PATIENCE, self._say, [f"servicectx: {self.what} ..."])
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            took = time.monotonic() - self._began
            if took > PATIENCE:
                self._say(f"servicectx: {self.what} took {took:.1f} s")

    def _say(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
