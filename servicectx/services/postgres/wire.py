"""The part of Postgres' protocol that logs in and runs statements, with the standard library alone.

Messages: https://www.postgresql.org/docs/current/protocol-message-formats.html.
"""

import hashlib
import re
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from servicectx.services.postgres import pid_file
from servicectx.system.originals import socket
from servicectx.system.sockets import KeptSocket
from servicectx.wire.scram import Proof, verifier

if TYPE_CHECKING:
    import ssl

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
PROTOCOL_3 = 196608
IN_ONE_DATABASE = ("pg_cron",)  # extensions that only the database in their settings can have
EXTENSION_WAIT = 60.0  # seconds to create one extension
ENTRY = "postgres"  # a database that every server has


class Refused(Exception):
    """The server answered with an error. `code` is its SQLSTATE."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(fields.get("M", "no message"))
        self.code = fields.get("C", "")


class Connection:
    """A logged-in connection. Raises Refused, OSError, or EOFError when the server closes the connection."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        dbname: str,
        wait: float,
        application: str = "",
        tls: "ssl.SSLContext | None" = None,
        options: str = "",
    ) -> None:
        self.parameters: dict[str, str] = {}
        self._socket = socket.create_connection((host, port), wait)
        if tls is not None:
            self._socket = _secured(self._socket, tls, host)
        self._kept = KeptSocket(self._socket)
        self._reader = self._socket.makefile("rb")
        try:
            fields = ["user", user, "database", dbname, "application_name", application]
            fields += ["options", options] if options else []  # a pooler may refuse the parameter
            start = b"".join(field.encode() + b"\0" for field in fields) + b"\0"
            self._socket.sendall(struct.pack("!ii", len(start) + 8, PROTOCOL_3) + start)
            self._log_in(user, password)
        except BaseException:
            self.close()
            raise

    def run(self, sql: str) -> list[str | None]:
        """Run one statement. Returns the first column of its rows, as text."""
        self._kept.check()
        self._send(b"Q", sql.encode() + b"\0")
        rows: list[str | None] = []
        refusal: Refused | None = None
        while True:
            kind, body = self._receive()
            if kind == b"D":
                (length,) = struct.unpack_from("!i", body, 2)
                rows.append(None if length < 0 else body[6 : 6 + length].decode())
            elif kind == b"E":
                refusal = Refused(_error_fields(body))
            elif kind == b"Z":
                if refusal:
                    raise refusal
                return rows

    def hurry(self, wait: float) -> None:
        """Set the time limit for each further answer, in seconds."""
        self._socket.settimeout(wait)

    def close(self) -> None:
        self._kept.close()
        self._reader.close()

    def _log_in(self, user: str, password: str) -> None:
        proof = Proof("", password)
        while True:
            kind, body = self._receive()
            if kind == b"E":
                raise Refused(_error_fields(body))
            if kind == b"S":
                name, value = body[:-1].split(b"\0", 1)
                self.parameters[name.decode()] = value.decode()
            elif kind == b"Z":
                return
            elif kind == b"R":
                (step,) = struct.unpack_from("!i", body)
                if step == 3:  # an external server may require a plain-text password
                    self._send(b"p", password.encode() + b"\0")
                elif step == 5:
                    self._send(b"p", _md5_answer(user, password, body[4:8]))
                elif step == 10:  # SASL: the mechanisms follow
                    self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(proof.hello)) + proof.hello)
                elif step == 11:
                    self._send(b"p", proof.answer(body[4:]))
                elif step == 12 and not proof.is_known(body[4:]):
                    raise Refused({"M": "the server cannot prove that it has this instance's password", "C": "28P01"})

    def _send(self, kind: bytes, body: bytes) -> None:
        self._socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def _receive(self) -> tuple[bytes, bytes]:
        head = self._reader.read(5)
        if len(head) < 5:
            raise EOFError("the server closed the connection")
        return head[:1], self._reader.read(struct.unpack("!i", head[1:])[0] - 4)


def _secured(plain: socket.socket, tls: "ssl.SSLContext", host: str) -> socket.socket:
    try:
        plain.sendall(SSL_REQUEST)
        if plain.recv(1) != b"S":
            raise OSError("the server offers no TLS")
        return tls.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def claim_server(
    host: str,
    port: int,
    wait: float,
    *,
    data: str,
    user: str,
    dbname: str,
    old: str,
    new: str,
    rounds: int,
    extensions: Sequence[str] = (),
) -> dict[str, Any] | None:
    """The keeper's probe: wait for the instance's own server, set its password, and connect to `dbname`.

    The server writes "ready" to postmaster.pid in the instance's own data directory only after it has bound the port.
    So a server that answers on the port is the instance's own.
    """
    lines = pid_file.read_at(data)
    if len(lines) < 8 or lines[3].strip() != str(port) or lines[7].strip() != "ready":
        return None
    try:
        try:
            first = Connection(host, port, user, old, ENTRY, wait)
            try:
                if everywhere := [name for name in extensions if name not in IN_ONE_DATABASE]:
                    _create(Connection(host, port, user, old, "template1", wait), everywhere)
                if dbname not in first.run("SELECT datname FROM pg_database"):
                    first.run(f"CREATE DATABASE {quoted(dbname)}")
                first.run(f"ALTER ROLE {quoted(user)} PASSWORD '{verifier(new, rounds)}'")
                if dbname == ENTRY and not extensions:
                    return _version_of(first)
            finally:
                first.close()
        except Refused as refusal:
            if refusal.code != "28P01":  # an earlier run of this probe changed the password
                raise
        second = Connection(host, port, user, new, dbname, wait)
        _create(second, extensions)
    except Refused as refusal:
        if refusal.code == "57P03":  # cannot_connect_now: still starting
            return None
        raise ValueError(f"Postgres refused the keeper: {refusal}") from None
    return _version_of(second)


def _create(connection: Connection, extensions: Sequence[str]) -> None:
    """Create the extensions, with all that they require, and close the connection."""
    try:
        connection.hurry(EXTENSION_WAIT)
        for name in extensions:
            connection.run(f"CREATE EXTENSION IF NOT EXISTS {quoted(name)} CASCADE")
    except Refused as refusal:
        if refusal.code == "57P03":
            raise
        raise ValueError(f"the extension {name!r} cannot be created: {refusal}") from None
    finally:
        connection.close()


def _version_of(connection: Connection) -> dict[str, Any]:
    return {"version": connection.parameters.get("server_version", "").split(" ")[0]}


def accepts_connections(host: str, port: int, wait: float) -> dict[str, Any] | None:
    """The ping of joining processes: a server that answers an SSLRequest works. It needs no login."""
    with socket.create_connection((host, port), wait) as connection:
        connection.sendall(SSL_REQUEST)
        return {} if connection.recv(1) in (b"N", b"S") else None


def write_out(host: str, port: int, wait: float, *, user: str, password: str) -> dict[str, Any]:
    """Write all committed transactions. Without `synchronous_commit` the last ones are in the server's memory alone."""
    connection = Connection(host, port, user, password, ENTRY, wait)
    try:
        connection.run("CHECKPOINT")
    finally:
        connection.close()
    return {}


def _md5_answer(user: str, password: str, salt: bytes) -> bytes:
    inner = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode() + b"\0"


def quoted(name: str) -> str:
    """A quoted identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _error_fields(body: bytes) -> dict[str, str]:
    return {
        part[:1].decode(): part[1:].decode(errors="replace") for part in re.split(b"\0", body.rstrip(b"\0")) if part
    }
