"""The part of MariaDB's protocol that logs in and runs statements, with the standard library alone.

Packets: https://mariadb.com/kb/en/clientserver-protocol/
"""

import hashlib
import os
import struct
from contextlib import closing, suppress
from typing import Any

from servicectx.system.originals import socket

NATIVE = b"mysql_native_password"
# long password, connect with database, protocol 4.1, transactions, secure connection, authentication plugins
CAPABILITIES = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000
UTF8MB4 = 45
LARGEST = 1 << 24
QUIT, QUERY = b"\1", b"\3"


class Refused(Exception):
    """The server answered with an error. `code` is its number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Connection:
    """A logged-in connection. Raises Refused, OSError, or EOFError when the server closes the connection."""

    def __init__(self, host: str, port: int, user: str, password: str, dbname: str, wait: float) -> None:
        self._socket = socket.create_connection((host, port), wait)
        self._reader = self._socket.makefile("rb")
        self._number = 0
        try:
            salt = self._read_greeting()
            login = struct.pack("<IIB23x", CAPABILITIES, LARGEST, UTF8MB4) + user.encode() + b"\0"
            answer = _scrambled(password, salt)
            self._send(login + bytes([len(answer)]) + answer + dbname.encode() + b"\0" + NATIVE + b"\0")
            reply = self._receive()
            if reply[:1] == b"\xfe":  # the server requests another plugin or sends another salt
                plugin, _, salt = reply[1:].partition(b"\0")
                if plugin != NATIVE:
                    raise Refused(
                        0, f"user {user!r} logs in with {plugin.decode()}, and only {NATIVE.decode()} is supported"
                    )
                self._send(_scrambled(password, salt[:20]))
                self._receive()
        except BaseException:
            self._close()
            raise

    def run(self, sql: str) -> list[str | None]:
        """Run one statement. Returns the first column of its rows, as text."""
        self._number = 0
        self._send(QUERY + sql.encode())
        if self._receive()[:1] == b"\0":
            return []
        while not _is_end(self._receive()):  # the columns
            pass
        rows: list[str | None] = []
        while not _is_end(row := self._receive()):
            rows.append(None if row[:1] == b"\xfb" else _text(row))
        return rows

    def close(self) -> None:
        """Send QUIT, so that the server logs no aborted connection."""
        self._number = 0
        with suppress(OSError):
            self._send(QUIT)
        self._close()

    def _close(self) -> None:
        self._reader.close()
        self._socket.close()

    def _read_greeting(self) -> bytes:
        version, _, rest = self._receive()[1:].partition(b"\0")
        # The prefix is for clients that expect version 5.
        self.version = version.decode().removeprefix("5.5.5-").split("-")[0]
        return rest[4:12] + rest[31:43]

    def _send(self, body: bytes) -> None:
        self._socket.sendall(struct.pack("<I", len(body))[:3] + bytes([self._number]) + body)

    def _receive(self) -> bytes:
        head = self._reader.read(4)
        body = self._reader.read(int.from_bytes(head[:3], "little"))
        if len(head) < 4 or not body:
            raise EOFError("the server closed the connection")
        self._number = head[3] + 1
        if body[:1] == b"\xff":
            text = body[3:].decode(errors="replace")
            raise Refused(int.from_bytes(body[1:3], "little"), text[6:] if text.startswith("#") else text)
        return body


def logs_in(
    host: str, port: int, wait: float, *, data: str, user: str, password: str, dbname: str
) -> dict[str, Any] | None:
    """The keeper's probe: wait for the instance's own server, and log in as the user that its start created.

    The server writes mariadb.pid in its data directory after it has bound the port, and accepts no connection before
    the account exists. So a server that answers is the instance's own, and a refused login is final.
    """
    if not os.path.exists(f"{data}/mariadb.pid"):
        return None
    try:
        connection = Connection(host, port, user, password, dbname, wait)
    except Refused as refusal:
        raise ValueError(f"MariaDB refused the keeper: {refusal}") from None
    connection.close()
    return {"version": connection.version}


def answers(host: str, port: int, wait: float, *, user: str, password: str) -> dict[str, Any]:
    """The ping of joining processes. A server that refuses, for lack of connections or a new password, works too."""
    try:
        with closing(Connection(host, port, user, password, "", wait)):
            return {}
    except Refused:
        return {}


def write_out(host: str, port: int, wait: float, *, user: str, password: str) -> dict[str, Any]:
    """Write the log of all committed transactions. The server itself writes it once a second."""
    connection = Connection(host, port, user, password, "", wait)
    try:
        connection.run("FLUSH ENGINE LOGS")
    finally:
        connection.close()
    return {}


def hashed(password: str) -> str:
    """The server's hash of a password, so that the password itself is never in SQL or a log. Empty without one."""
    return password and "*" + _sha1(_sha1(password.encode())).hex().upper()


def quoted(name: str) -> str:
    """A quoted identifier in SQL."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A quoted text in SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _scrambled(password: str, salt: bytes) -> bytes:
    if not password:
        return b""
    first = _sha1(password.encode())
    return bytes(a ^ b for a, b in zip(first, _sha1(salt + _sha1(first)), strict=True))


def _sha1(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).digest()


def _is_end(body: bytes) -> bool:
    return body[:1] == b"\xfe" and len(body) < 9


def _text(row: bytes) -> str:
    """The first value of a row: its length in one byte, or a byte with the number of bytes that hold it."""
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(row[0], 0)
    start = 1 + size
    length = int.from_bytes(row[1:start], "little") if size else row[0]
    return row[start : start + length].decode()
