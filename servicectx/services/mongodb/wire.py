"""Just enough of MongoDB's protocol to log in and run commands, with the standard library alone.

OP_MSG: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/; BSON: https://bsonspec.org/spec.html;
logging in: https://github.com/mongodb/specifications/blob/master/source/auth/auth.md.
"""

import contextlib
import struct
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from servicectx.system.originals import socket
from servicectx.wire.scram import Proof

OP_MSG = 2013
AUTHENTICATION_FAILED = 18


class Refused(Exception):
    """The server answered with an error and its `code`."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(answer.get("errmsg", "no message"))
        self.code: int = answer.get("code", 0)


class Connection:
    """One connection. Raises Refused, OSError, or EOFError when the server hangs up."""

    def __init__(self, host: str, port: int, wait: float) -> None:
        self._socket = socket.create_connection((host, port), wait)
        self._reader = self._socket.makefile("rb")

    def run(self, dbname: str, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run one command, whose name is the first key; its answer."""
        body = struct.pack("<ib", 0, 0) + encode({**command, "$db": dbname})
        self._socket.sendall(struct.pack("<4i", len(body) + 16, 1, 0, OP_MSG) + body)
        head = self._reader.read(16)
        if len(head) < 16:
            raise EOFError("the server closed the connection")
        answer = decode(self._reader.read(struct.unpack_from("<i", head)[0] - 16)[5:])
        if answer.get("ok") != 1:
            raise Refused(answer)
        return answer

    def log_in(self, user: str, password: str, source: str = "admin") -> None:
        """With SCRAM-SHA-256. The connection can try again after it was refused."""
        proof = Proof(user, password)
        begin = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": proof.hello}
        reply = self.run(source, {**begin, "options": {"skipEmptyExchange": True}})
        proceed = {"saslContinue": 1, "conversationId": reply["conversationId"]}
        reply = self.run(source, {**proceed, "payload": proof.answer(reply["payload"])})
        if not proof.is_known(reply["payload"]):
            raise Refused({"errmsg": "the server does not know this instance's password"})
        while not reply["done"]:
            reply = self.run(source, {**proceed, "payload": b""})

    def close(self) -> None:
        self._reader.close()
        self._socket.close()


def claim_server(host: str, port: int, wait: float, *, user: str, password: str, old: str) -> dict[str, Any]:
    """The keeper's probe: log in, after making the user if need be, or changing its password in data from a snapshot.

    A server without users lets whoever comes through loopback make the first one, and nothing else:
    https://www.mongodb.com/docs/manual/core/localhost-exception/.
    """
    with closing(Connection(host, port, wait)) as connection:
        try:
            if not _is_known(connection, user, password):
                change = "updateUser" if _is_known(connection, user, old) else "createUser"
                roles = {"roles": [{"role": "root", "db": "admin"}]}
                connection.run("admin", {change: user, "pwd": password, **roles})
                connection.log_in(user, password)
            return {"version": connection.run("admin", {"buildInfo": 1})["version"]}
        except Refused as refusal:
            raise ValueError(f"MongoDB refused the keeper: {refusal}") from None


def is_open(host: str, port: int, wait: float) -> dict[str, Any]:
    """The keeper's probe of a server without access control."""
    with closing(Connection(host, port, wait)) as connection:
        try:
            connection.run("admin", {"listDatabases": 1, "nameOnly": True})
            return {"version": connection.run("admin", {"buildInfo": 1})["version"]}
        except Refused as refusal:
            raise ValueError(f"MongoDB refused the keeper: {refusal}") from None


def answers(host: str, port: int, wait: float) -> dict[str, Any]:
    """The joiner's ping. It costs no login."""
    with closing(Connection(host, port, wait)) as connection, contextlib.suppress(Refused):
        connection.run("admin", {"ping": 1})
    return {}


def _is_known(connection: Connection, user: str, password: str) -> bool:
    try:
        connection.log_in(user, password)
    except Refused as refusal:
        if refusal.code != AUTHENTICATION_FAILED:
            raise
        return False
    return True


def encode(document: Mapping[str, Any]) -> bytes:
    """A document as BSON."""
    body = b"".join(_element(name, value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def decode(text: bytes) -> dict[str, Any]:
    """The document in BSON. Values that nobody here asks for, such as times, are left as bytes."""
    found: dict[str, Any] = {}
    place, end = 4, struct.unpack_from("<i", text)[0] - 1
    while place < end:
        kind, stop = text[place], text.index(b"\0", place + 1)
        name = text[place + 1 : stop].decode()
        found[name], place = _value(kind, text, stop + 1)
    return found


def _element(name: str, value: Any) -> bytes:
    match value:
        case bool():
            kind, content = 0x08, struct.pack("<?", value)
        case int():
            kind, content = 0x10, struct.pack("<i", value)
        case str():
            kind, content = 0x02, _counted(value.encode() + b"\0")
        case bytes():
            kind, content = 0x05, struct.pack("<ib", len(value), 0) + value
        case Mapping():
            kind, content = 0x03, encode(value)
        case list():
            kind, content = 0x04, encode({str(number): item for number, item in enumerate(value)})
        case _:
            raise TypeError(f"{value!r} is nothing that is sent here")
    return bytes([kind]) + name.encode() + b"\0" + content


_FIXED = {0x01: "<d", 0x08: "<?", 0x09: "8s", 0x07: "12s", 0x0A: "0s", 0x10: "<i", 0x11: "8s", 0x12: "<q", 0x13: "16s"}


def _value(kind: int, text: bytes, place: int) -> tuple[Any, int]:
    """The value, and the place after it."""
    if form := _FIXED.get(kind):
        return struct.unpack_from(form, text, place)[0], place + struct.calcsize(form)
    size = struct.unpack_from("<i", text, place)[0]
    if kind == 0x02:
        return text[place + 4 : place + 3 + size].decode(), place + 4 + size
    if kind == 0x05:
        return text[place + 5 : place + 5 + size], place + 5 + size
    if kind == 0x03:
        return decode(text[place : place + size]), place + size
    if kind == 0x04:
        return list(decode(text[place : place + size]).values()), place + size
    raise ValueError(f"the server sends BSON of the kind {kind:#x}")


def _counted(text: bytes) -> bytes:
    return struct.pack("<i", len(text)) + text
