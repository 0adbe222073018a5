"""A check whether a server accepts connections, in bounded time even if its name does not resolve."""

import queue
import threading
from collections.abc import Callable

from servicectx.system.originals import time

PAUSE = 0.05  # seconds between two attempts


def problem(host: str, port: int, wait: float, *, patient: bool, cancelled: Callable[[], bool]) -> str:
    """The reason why no connection to `host` and `port` succeeds within `wait` seconds; "" on success.

    A failed attempt is repeated for `wait` seconds if `patient`. Once `cancelled` returns true, the result is "".
    """
    deadline = time.monotonic() + wait
    while True:
        found = _attempt(host, port, deadline, cancelled)
        if not found or cancelled() or not patient or time.monotonic() + PAUSE > deadline:
            return "" if cancelled() else found
        time.sleep(PAUSE)


def _attempt(host: str, port: int, deadline: float, cancelled: Callable[[], bool]) -> str:
    """Try one connection, in a thread: a resolver may block for longer than any time-out of a socket."""
    outcomes: queue.SimpleQueue[str] = queue.SimpleQueue()
    left = max(0.1, deadline - time.monotonic())
    threading.Thread(target=lambda: outcomes.put(_connect(host, port, min(left, 3e6))), daemon=True).start()
    while True:
        left = deadline - time.monotonic()
        try:
            return outcomes.get(timeout=max(0.0, min(left, PAUSE)))
        except queue.Empty:
            if cancelled():
                return ""
            if left <= 0:
                return "no answer in time"


def _connect(host: str, port: int, wait: float) -> str:
    from servicectx.system.originals import socket

    try:
        socket.create_connection((host, port), wait).close()
    except TimeoutError:
        return "no answer in time"
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or "its name cannot be resolved"
    return ""
