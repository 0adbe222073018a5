"""Just enough of Kafka's protocol to log in, to list topics and to remove some, with the standard library alone."""

import struct
from typing import Any

from servicectx.system.originals import socket

METADATA, SASL_HANDSHAKE, CREATE_TOPICS, DELETE_TOPICS, SASL_AUTHENTICATE = 3, 17, 19, 20, 36


class Refused(OSError):
    """The broker would not let us in."""


class Connection:
    """One connection, logged in (PLAIN) where there is a user. Raises OSError, or EOFError when the broker hangs up."""

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
        """The addresses of all brokers, and the names of all topics but the broker's own."""
        heard = _Reader(self._ask(METADATA, 1, struct.pack(">i", -1)))
        brokers = []
        for _ in range(heard.number(">i")):
            heard.number(">i")
            brokers.append((heard.text(), heard.number(">i")))
            heard.text()
        heard.number(">i")
        topics = []
        for _ in range(heard.number(">i")):
            heard.number(">h")
            name, internal = heard.text(), heard.number(">b")
            for _ in range(heard.number(">i")):
                heard.skip(10)
                for _ in range(2):
                    heard.skip(4 * heard.number(">i"))
            if not internal:
                topics.append(name)
        return brokers, topics

    def create(self, topic: str) -> None:
        """A topic of one partition."""
        self._ask(CREATE_TOPICS, 2, struct.pack(">i", 1) + _text(topic) + struct.pack(">ihiiib", 1, 1, 0, 0, 10_000, 0))

    def delete(self, topics: list[str]) -> None:
        names = b"".join(map(_text, topics))
        self._ask(DELETE_TOPICS, 1, struct.pack(">i", len(topics)) + names + struct.pack(">i", 10_000))

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def _log_in(self, user: str, password: str) -> None:
        (refused,) = struct.unpack_from(">h", self._ask(SASL_HANDSHAKE, 1, _text("PLAIN")))
        if not refused:
            login = _bytes(f"\0{user}\0{password}".encode())
            (refused,) = struct.unpack_from(">h", self._ask(SASL_AUTHENTICATE, 0, login))
        if refused:
            raise Refused(f"the broker refuses the login of {user} (error {refused})")

    def _ask(self, kind: int, version: int, body: bytes) -> bytes:
        request = struct.pack(">hhi", kind, version, kind) + _text("servicectx") + body
        self._socket.sendall(_bytes(request))
        (size,) = struct.unpack(">i", self._read(4))
        answer = self._read(size)
        if struct.unpack_from(">i", answer) != (kind,):
            raise OSError("this is not Kafka's protocol")
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
        (found,) = struct.unpack_from(form, self._data, self._at)
        self.skip(struct.calcsize(form))
        return int(found)

    def text(self) -> str:
        size = max(0, self.number(">h"))  # -1: none
        self.skip(size)
        return self._data[self._at - size : self._at].decode()

    def skip(self, size: int) -> None:
        self._at += size


def answers(host: str, port: int, wait: float, user: str = "", password: str = "") -> dict[str, Any] | None:
    """A probe: whether the broker sends its clients to where it is."""
    connection = Connection(host, port, user, password, wait)
    try:
        return {} if connection.metadata()[0] == [(host, port)] else None
    finally:
        connection.close()


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _bytes(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data
