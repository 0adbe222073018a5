"""A part of ZooKeeper's protocol, for namespaces. Standard library only.

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
SESSION = 10000  # milliseconds until the server ends a disconnected session


class Refused(Exception):
    """The server answered with an error. `code` is its number: org.apache.zookeeper.KeeperException.Code."""

    def __init__(self, code: int, path: str) -> None:
        super().__init__(f"error {code} for {path!r}")
        self.code = code


class Connection:
    """One session. Raises Refused, OSError, and EOFError on a closed connection."""

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
        """End the session explicitly. The server would otherwise keep it until its time-out."""
        with contextlib.suppress(OSError, EOFError, Refused):
            self._request(CLOSE, "", b"")
        self._close()

    def create(self, path: str) -> None:
        permissions = struct.pack("!ii", 1, 31) + _text("world") + _text("anyone")
        self._request(CREATE, path, _sized(b"") + permissions + struct.pack("!i", 0))

    def get(self, path: str) -> bytes:
        reply = self._request(GET, path, NO_WATCH)
        return reply[4 : 4 + max(0, _number(reply))]

    def set(self, path: str, data: bytes) -> None:
        self._request(SET, path, _sized(data) + ANY_VERSION)

    def children(self, path: str) -> list[str]:
        reply = self._request(CHILDREN, path, NO_WATCH)
        names, offset = [], 4
        for _ in range(_number(reply)):
            end = offset + 4 + _number(reply, offset)
            names.append(reply[offset + 4 : end].decode())
            offset = end
        return names

    def remove(self, path: str) -> None:
        """Remove a node and all nodes below it, also while other clients add or remove nodes there."""
        while True:
            try:
                for name in self.children(path):
                    self.remove(f"{path}/{name}")
                self._request(DELETE, path, ANY_VERSION)
                return
            except Refused as refusal:
                if refusal.code == NO_NODE:
                    return
                if refusal.code != NOT_EMPTY:
                    raise

    def _request(self, kind: int, path: str, rest: bytes) -> bytes:
        self._number += 1
        self._send(struct.pack("!ii", self._number, kind) + (_text(path) if path else b"") + rest)
        reply = self._receive()
        if code := _number(reply, 12):  # after the number of the request and of the last change
            raise Refused(code, path)
        return reply[16:]

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


def _number(body: bytes, offset: int = 0) -> int:
    (number,) = struct.unpack_from("!i", body, offset)
    return int(number)


def _sized(body: bytes) -> bytes:
    return struct.pack("!i", len(body)) + body


def _text(text: str) -> bytes:
    return _sized(text.encode())
