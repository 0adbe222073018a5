"""A check whether a server answers, in bounded time even if its name does not resolve.

A stopped server, and a proxy without a server, accept connections and stay silent. So the check sends the service's
`probe_request`, and waits for any reply. A closed connection counts as one: a server that expects TLS may close it.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any

from servicectx.system.originals import time

PAUSE = 0.05  # seconds between two attempts
LATE = "no answer in time"
MARGIN = 0.05  # seconds from the end of an attempt to the end of the wait for it


def problem(
    host: str,
    port: int,
    wait: float,
    *,
    probe_request: str | None,
    patient: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> str:
    """The reason why no server at `host` and `port` answers within `wait` seconds; "" on success.

    `probe_request`: see `Service.probe_request`; with None a connection is enough. A failed attempt is repeated
    for `wait` seconds if `patient`. Once `cancelled` returns true, the result is "".
    """
    deadline = time.monotonic() + wait
    before = ""
    while True:
        found = _attempt(host, port, probe_request, deadline, cancelled)
        if not found or cancelled():
            return ""
        found = before if before and found == LATE else found  # the last attempt has little time
        if not patient or time.monotonic() + PAUSE > deadline:
            return found
        before = found
        time.sleep(PAUSE)


def _attempt(host: str, port: int, probe_request: str | None, deadline: float, cancelled: Callable[[], bool]) -> str:
    """Try one connection, in a thread: a resolver may block for longer than any time-out of a socket."""
    outcomes: queue.SimpleQueue[str] = queue.SimpleQueue()
    left = max(0.1, deadline - time.monotonic())
    wait = min(left, 3e6)
    threading.Thread(target=lambda: outcomes.put(_connect(host, port, probe_request, wait)), daemon=True).start()
    while True:
        left = deadline - time.monotonic()
        try:
            return outcomes.get(timeout=max(0.0, min(left, PAUSE)))
        except queue.Empty:
            if cancelled():
                return ""
            if left <= 0:
                return LATE


def _connect(host: str, port: int, probe_request: str | None, wait: float) -> str:
    from servicectx.system.originals import socket

    until = time.monotonic() + wait - MARGIN
    try:
        with socket.create_connection((host, port), wait) as connection:
            if probe_request is not None and not _answers(
                connection, probe_request, max(MARGIN, until - time.monotonic())
            ):
                return "it accepts connections, and sends no reply"
    except TimeoutError:
        return LATE
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or "its name cannot be resolved"
    return ""


def _answers(connection: Any, probe_request: str, wait: float) -> bool:
    """Whether the server replies to `probe_request`, or closes the connection, within `wait` seconds."""
    connection.settimeout(wait)
    try:
        connection.sendall(probe_request.encode("latin-1"))
        connection.recv(1)
    except TimeoutError:
        return False
    except OSError:  # the server closed the connection
        pass
    return True
