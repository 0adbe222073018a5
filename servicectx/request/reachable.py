"""Whether a server takes connections, within a bounded time: also where its name does not resolve."""

import queue
import threading
from collections.abc import Callable

from servicectx.system.originals import time

PAUSE = 0.05  # seconds between two attempts


def problem(host: str, port: int, wait: float, *, patient: bool, cancelled: Callable[[], bool]) -> str:
    """Why nothing takes a connection at `host` and `port` within `wait` seconds; "" as soon as something does.

    Where nothing listens, the attempt is repeated for `wait` seconds if `patient`, else not. Once `cancelled` gives
    true, the wait ends with "".
    """
    deadline = time.monotonic() + wait
    while True:
        found = _attempt(host, port, deadline, cancelled)
        if not found or cancelled() or not patient or time.monotonic() + PAUSE > deadline:
            return "" if cancelled() else found
        time.sleep(PAUSE)


def _attempt(host: str, port: int, deadline: float, cancelled: Callable[[], bool]) -> str:
    """One connection. It is made in a thread: a resolver may block for longer than any time-out of a socket."""
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
