"""Just enough of ZooKeeper's protocol for namespaces, with the standard library alone.

Records: src/zookeeper.jute in ZooKeeper's sources. Every message begins with its length.
"""

import contextlib
import struct
from typing import Self

from servicectx.system.originals import socket

CREATE, DELETE, GET, SET, CHILDREN, CLOSE = 1, 2, 4, 5, 8, -11
NO_NODE, NOT_EMPTY = -101, -111
ANY_VERSION = struct.pack("!i", -1)
NO_WATCH = b"\0"
SESSION = 10000  # milliseconds until a session of ours that was cut off ends


class Refused(Exception):
    """The server answered with an error. `code` is its number: org.apache.zookeeper.KeeperException.Code."""

    def __init__(self, code: int, path: str) -> None:
        super().__init__(f"error {code} for {path!r}")
        self.code = code


class Connection:
    """One session. Raises Refused, OSError, or EOFError when the server hangs up."""

    def __init__(self, host: str, port: int, wait: float = 10.0) -> None:
        self._socket = socket.create_connection((host, port), wait)
        self._reader = self._socket.makefile("rb")
        self._number = 0
        try:
            self._send(struct.pack("!iqiq", 0, 0, SESSION, 0) + _sized(bytes(16)) + NO_WATCH)
            self._receive()
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the session, so that the server need not wait for its time to run out."""
        with contextlib.suppress(OSError, EOFError, Refused):
            self._ask(CLOSE, "", b"")
        self._close()

    def create(self, path: str) -> None:
        everybody = struct.pack("!ii", 1, 31) + _text("world") + _text("anyone")
        self._ask(CREATE, path, _sized(b"") + everybody + struct.pack("!i", 0))

    def get(self, path: str) -> bytes:
        said = self._ask(GET, path, NO_WATCH)
        return said[4 : 4 + max(0, _number(said))]

    def set(self, path: str, data: bytes) -> None:
        self._ask(SET, path, _sized(data) + ANY_VERSION)

    def children(self, path: str) -> list[str]:
        said = self._ask(CHILDREN, path, NO_WATCH)
        names, place = [], 4
        for _ in range(_number(said)):
            end = place + 4 + _number(said, place)
            names.append(said[place + 4 : end].decode())
            place = end
        return names

    def remove(self, path: str) -> None:
        """Remove it and all below it, also while others add to it or remove from it."""
        while True:
            try:
                for name in self.children(path):
                    self.remove(f"{path}/{name}")
                self._ask(DELETE, path, ANY_VERSION)
                return
            except Refused as refusal:
                if refusal.code == NO_NODE:
                    return
                if refusal.code != NOT_EMPTY:
                    raise

    def _ask(self, kind: int, path: str, rest: bytes) -> bytes:
        self._number += 1
        self._send(struct.pack("!ii", self._number, kind) + (_text(path) if path else b"") + rest)
        said = self._receive()
        if code := _number(said, 12):  # after its own number, and that of the last change
            raise Refused(code, path)
        return said[16:]

    def _send(self, body: bytes) -> None:
        self._socket.sendall(_sized(body))

    def _receive(self) -> bytes:
        head = self._reader.read(4)
        if len(head) < 4:
            raise EOFError("the server closed the connection")
        return self._reader.read(_number(head))

    def _close(self) -> None:
        self._reader.close()
        self._socket.close()


def _number(body: bytes, place: int = 0) -> int:
    (number,) = struct.unpack_from("!i", body, place)
    return int(number)


def _sized(body: bytes) -> bytes:
    return struct.pack("!i", len(body)) + body


def _text(text: str) -> bytes:
    return _sized(text.encode())
