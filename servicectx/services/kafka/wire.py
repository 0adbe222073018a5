"""A part of Kafka's protocol: log in; list, create and delete topics. Standard library only."""

import struct
from typing import Any

from servicectx.system.originals import socket

METADATA, SASL_HANDSHAKE, CREATE_TOPICS, DELETE_TOPICS, SASL_AUTHENTICATE = 3, 17, 19, 20, 36


class Refused(OSError):
    """The broker rejected the login."""


class Connection:
    """One connection, logged in (PLAIN) if a user is given. Raises OSError, and EOFError on a closed connection."""

    def __init__(self, host: str, port: int, user: str = "", password: str = "", wait: float = 10.0) -> None:
        self._socket = socket.create_connection((host, port), wait)
        self._reader = self._socket.makefile("rb")
        try:
            if user:
                self._log_in(user, password)
        except BaseException:
            self.close()
            raise

    def metadata(self) -> tuple[list[tuple[str, int]], list[str]]:
        """The addresses of all brokers, and the names of all topics except internal ones."""
        reply = _Reader(self._request(METADATA, 1, struct.pack(">i", -1)))
        brokers = []
        for _ in range(reply.number(">i")):
            reply.number(">i")
            brokers.append((reply.text(), reply.number(">i")))
            reply.text()
        reply.number(">i")
        topics = []
        for _ in range(reply.number(">i")):
            reply.number(">h")
            name, internal = reply.text(), reply.number(">b")
            for _ in range(reply.number(">i")):
                reply.skip(10)
                for _ in range(2):
                    reply.skip(4 * reply.number(">i"))
            if not internal:
                topics.append(name)
        return brokers, topics

    def create(self, topic: str) -> None:
        """Create a topic of one partition."""
        self._request(
            CREATE_TOPICS, 2, struct.pack(">i", 1) + _text(topic) + struct.pack(">ihiiib", 1, 1, 0, 0, 10_000, 0)
        )

    def delete(self, topics: list[str]) -> None:
        names = b"".join(map(_text, topics))
        self._request(DELETE_TOPICS, 1, struct.pack(">i", len(topics)) + names + struct.pack(">i", 10_000))

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def _log_in(self, user: str, password: str) -> None:
        (refused,) = struct.unpack_from(">h", self._request(SASL_HANDSHAKE, 1, _text("PLAIN")))
        if not refused:
            login = _bytes(f"\0{user}\0{password}".encode())
            (refused,) = struct.unpack_from(">h", self._request(SASL_AUTHENTICATE, 0, login))
        if refused:
            raise Refused(f"the broker rejects the login of {user} (error {refused})")

    def _request(self, kind: int, version: int, body: bytes) -> bytes:
        request = struct.pack(">hhi", kind, version, kind) + _text("servicectx") + body
        self._socket.sendall(_bytes(request))
        (size,) = struct.unpack(">i", self._read(4))
        answer = self._read(size)
        if struct.unpack_from(">i", answer) != (kind,):
            raise OSError("the reply does not follow Kafka's protocol")
        return answer[4:]

    def _read(self, size: int) -> bytes:
        if len(read := self._reader.read(size)) != size:
            raise EOFError("the broker closed the connection")
        return read


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self.skip(struct.calcsize(form))
        return int(value)

    def text(self) -> str:
        size = max(0, self.number(">h"))  # -1: none
        self.skip(size)
        return self._data[self._at - size : self._at].decode()

    def skip(self, size: int) -> None:
        self._at += size


def answers(host: str, port: int, wait: float, user: str = "", password: str = "") -> dict[str, Any] | None:
    """A probe: whether the broker advertises its own address to clients."""
    connection = Connection(host, port, user, password, wait)
    try:
        return {} if connection.metadata()[0] == [(host, port)] else None
    finally:
        connection.close()


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _bytes(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data
