"""A part of MQTT 3.1.1: list, store and remove retained messages. Standard library only."""

import struct

from servicectx.system.originals import socket

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
ACCEPTED = r"^\x20\x02[\x00\x01]\x00"


class Refused(OSError):
    """The broker rejected the login."""


class Connection:
    """One connection, logged in. Raises OSError, and EOFError on a closed connection."""

    def __init__(self, host: str, port: int, user: str, password: str, wait: float = 10.0) -> None:
        self._socket = socket.create_connection((host, port), wait)
        self._reader = self._socket.makefile("rb")
        try:
            self._socket.sendall(hello(user, password))
            if (answer := self._until(CONNACK))[1]:
                raise Refused(f"the broker rejects the login of {user or 'a client without a user'} (code {answer[1]})")
        except BaseException:
            self.close()
            raise

    def retained(self, topics: str) -> list[str]:
        """The topics with retained messages that the filter `topics` matches."""
        found: list[str] = []
        self._socket.sendall(subscribe(1, topics))
        self._socket.sendall(subscribe(2, "servicectx/nothing"))  # acknowledged after all messages of the first one
        while True:
            kind, flags, body = self._read()
            if kind == PUBLISH and flags & 1:
                (size,) = struct.unpack_from(">H", body)
                found.append(body[2 : 2 + size].decode())
            elif kind == SUBACK and body[:2] == b"\0\2":
                return found

    def retain(self, topic: str, text: str = "") -> None:
        """Replace the retained message of a topic. An empty text removes the message."""
        self._socket.sendall(packet(0x33, _text(topic) + b"\0\1" + text.encode()))  # QoS 1: the broker acknowledges it
        self._until(PUBACK)

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def _until(self, expected: int) -> bytes:
        while True:
            kind, _, body = self._read()
            if kind == expected:
                return body

    def _read(self) -> tuple[int, int, bytes]:
        first, size, shift = self._exactly(1)[0], 0, 0
        while True:
            part = self._exactly(1)[0]
            size |= (part & 0x7F) << shift
            if part < 0x80:
                return first >> 4, first & 0xF, self._exactly(size)
            shift += 7

    def _exactly(self, size: int) -> bytes:
        if len(read := self._reader.read(size)) != size:
            raise EOFError("the broker closed the connection")
        return read


def hello(user: str, password: str) -> bytes:
    """The CONNECT packet of a clean session, which ends with its connection."""
    flags, login = 0x02, b""
    if user:
        flags, login = 0xC2, _text(user) + _text(password)
    return packet(0x10, _text("MQTT") + bytes([4, flags, 0, 60]) + _text("") + login)


def subscribe(number: int, topics: str) -> bytes:
    return packet(0x82, struct.pack(">H", number) + _text(topics) + b"\0")


def packet(first: int, body: bytes) -> bytes:
    head, size = bytearray([first]), len(body)
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*head, size]) + body


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text.encode())) + text.encode()
