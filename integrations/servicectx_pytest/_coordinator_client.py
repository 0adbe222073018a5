"""Client of the coordinator: the connection from a worker to the first process of its run."""

import _socket
import contextlib
import json
import queue
import threading
from collections.abc import Callable
from typing import Any

from servicectx_pytest._coordinator import Record

# The C socket, and coders made at import: tests forbid sockets and replace functions of `socket` and `json`.
Socket = _socket.socket
ENCODE = json.JSONEncoder().encode
DECODE = json.JSONDecoder().decode

REPLY_TIMEOUT = 60.0  # seconds; a reply normally takes milliseconds


class RunIsOver(Exception):
    """The first process of the run is gone, or does not reply."""


class CoordinatorClient:
    """A `Coordinator` in another process, with the same methods. When the connection is lost, `when_lost` is called."""

    def __init__(self, address: str, when_lost: Callable[[], None]) -> None:
        """Raises OSError when no coordinator listens at `address`, for example on another machine."""
        port, token = address.split(":")
        self._socket = Socket(_socket.AF_INET, _socket.SOCK_STREAM)
        try:
            self._socket.settimeout(5.0)
            self._socket.connect(("127.0.0.1", int(port)))
            self._socket.settimeout(None)
            self._socket.sendall(f"{token}\n".encode())
        except OSError:
            self._socket.close()
            raise
        self._replies: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._when_lost = when_lost
        self._closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def begin(self, key: str, seconds: float) -> Record | None:
        failure: Record | None = self._request(seconds + REPLY_TIMEOUT, "begin", key, seconds)
        return failure

    def end(self, key: str, use: Record | None, failure: Record | None, ticket: str | None) -> None:
        self._request(REPLY_TIMEOUT, "end", key, use, failure, ticket)

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(_socket.SHUT_RDWR)
        self._socket.close()

    def _request(self, timeout: float, *fields: Any) -> Any:
        """Send a request and wait for its reply. Raises RunIsOver."""
        with contextlib.suppress(OSError):
            self._socket.sendall(ENCODE(fields).encode() + b"\n")
        try:
            reply = self._replies.get(timeout=timeout)
        except queue.Empty:
            reply = ""
        if not reply:
            self._replies.put("")  # for the next request
            raise RunIsOver
        return DECODE(reply)

    def _read(self) -> None:
        unfinished = b""
        with contextlib.suppress(OSError, ValueError):
            while received := self._socket.recv(65536):
                *lines, unfinished = (unfinished + received).split(b"\n")
                for line in lines:
                    self._replies.put(line.decode())
        self._socket.close()
        self._replies.put("")
        if not self._closed:
            self._when_lost()
