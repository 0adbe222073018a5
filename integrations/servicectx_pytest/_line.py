"""The line from a worker to the first process of its run."""

import _socket
import contextlib
import json
import queue
import threading
from collections.abc import Callable
from typing import Any

from servicectx_pytest._run import Record

# Of C, and made now: tests forbid sockets and replace functions of `socket` and `json`.
Socket = _socket.socket
ENCODE = json.JSONEncoder().encode
DECODE = json.JSONDecoder().decode

PATIENCE = 60.0  # seconds for an answer that takes milliseconds


class RunIsOver(Exception):
    """The first process of the run is gone, or does not answer."""


class Line:
    """Speaks to a `Run`; the same words. When that is gone, all services here are left: nobody will hear of them."""

    def __init__(self, address: str, when_lost: Callable[[], None]) -> None:
        """Raises OSError when nobody listens there, as on another machine."""
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
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._when_lost = when_lost
        self._closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def begin(self, key: str, seconds: float) -> Record | None:
        failure: Record | None = self._ask(seconds + PATIENCE, "begin", key, seconds)
        return failure

    def end(self, key: str, use: Record | None, failure: Record | None, ticket: str | None) -> None:
        self._ask(PATIENCE, "end", key, use, failure, ticket)

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(_socket.SHUT_RDWR)
        self._socket.close()

    def _ask(self, patience: float, *words: Any) -> Any:
        """Raises RunIsOver."""
        with contextlib.suppress(OSError):
            self._socket.sendall(ENCODE(words).encode() + b"\n")
        try:
            answer = self._answers.get(timeout=patience)
        except queue.Empty:
            answer = ""
        if not answer:
            self._answers.put("")  # for whoever asks next
            raise RunIsOver
        return DECODE(answer)

    def _read(self) -> None:
        unfinished = b""
        with contextlib.suppress(OSError, ValueError):
            while received := self._socket.recv(65536):
                *lines, unfinished = (unfinished + received).split(b"\n")
                for line in lines:
                    self._answers.put(line.decode())
        self._socket.close()
        self._answers.put("")
        if not self._closed:
            self._when_lost()
