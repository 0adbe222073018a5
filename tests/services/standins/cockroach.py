"""Stands in for CockroachDB: `cockroach cert` makes certificates, `cockroach start-single-node` keeps SQLite databases
behind Postgres' simple query protocol, `cockroach sql` runs a file.
"""

import argparse
import datetime
import ipaddress
import os
import re
import socketserver
import sqlite3
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SSL_REQUEST = 80877103


def make_certificate(kind: str, names: list[str], folder: Path, ca_key: Path) -> None:
    """`create-ca`, `create-node HOST...` or `create-client USER`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    key = ec.generate_private_key(ec.SECP256R1())
    signer: Any = key
    stem = {"create-ca": "ca", "create-node": "node", "create-client": f"client.{''.join(names)}"}[kind]
    if kind != "create-ca":
        signer = serialization.load_pem_private_key(ca_key.read_bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name({"node": "node"}.get(stem, stem[7:] or "ca")))
    made = made.issuer_name(name("ca")).public_key(key.public_key()).serial_number(x509.random_serial_number())
    made = made.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    made = made.add_extension(x509.BasicConstraints(ca=kind == "create-ca", path_length=None), critical=True)
    if kind == "create-node":
        places: list[Any] = [
            x509.IPAddress(ipaddress.ip_address(each)) if each[0].isdigit() else x509.DNSName(each) for each in names
        ]
        made = made.add_extension(x509.SubjectAlternativeName(places), critical=False)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for path, text in (
        (ca_key if kind == "create-ca" else folder / f"{stem}.key", pem),
        (folder / f"{stem}.crt", made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)),
    ):
        path.write_bytes(text)
        path.chmod(0o600)


class Node:
    """Databases by name, each an SQLite in memory; the passwords of users, of which there is none at first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.databases = {name: self.empty() for name in ("defaultdb", "postgres", "system")}
        self.passwords: dict[str, str] = {}
        self.admins = {"root"}
        self.settings: dict[str, str] = {}

    def empty(self) -> sqlite3.Connection:
        return sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)

    def run(self, database: str, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Columns and rows. Raises ValueError and sqlite3.Error."""
        with self.lock:
            if found := re.fullmatch(r"CREATE DATABASE (IF NOT EXISTS )?\"(.+)\"", sql):
                if found[2] in self.databases and not found[1]:
                    raise ValueError(f'database "{found[2]}" already exists')
                self.databases.setdefault(found[2], self.empty())
            elif found := re.fullmatch(r'DROP DATABASE IF EXISTS "(.+)" CASCADE', sql):
                self.databases.pop(found[1], None)
            elif found := re.fullmatch(r'CREATE USER IF NOT EXISTS "(.+)"', sql):
                pass
            elif found := re.fullmatch(r'GRANT admin TO "(.+)"', sql):
                self.admins.add(found[1])
            elif found := re.fullmatch(r"ALTER USER \"(.+)\" WITH PASSWORD '(.+)'", sql):
                self.passwords[found[1]] = found[2]
            elif found := re.fullmatch(r"SET CLUSTER SETTING (\S+) = (.+)", sql):
                if found[1].startswith("no."):
                    raise ValueError(f'unknown cluster setting "{found[1]}"')
                self.settings[found[1]] = found[2]
            elif found := re.fullmatch(r"SHOW CLUSTER SETTING (\S+)", sql):
                return [found[1]], [(self.settings[found[1]],)]
            elif sql.startswith("SELECT datname FROM pg_database"):
                return ["datname"], [(name,) for name in self.databases if name.startswith("sc_")]
            else:
                cursor = self.databases[database].execute(sql)
                return [column[0] for column in cursor.description or ()], cursor.fetchall()
            return [], []


class Session(socketserver.BaseRequestHandler):
    server: "Server"

    def handle(self) -> None:
        wire: Any = self.request
        certified = False
        while True:
            size, code = struct.unpack("!ii", _exactly(wire, 8))
            rest = _exactly(wire, size - 8)
            if code != SSL_REQUEST:
                break
            wire.sendall(b"S")
            wire = self.server.tls.wrap_socket(wire, server_side=True)
            subject = (wire.getpeercert() or {}).get("subject", ())
            certified = any(("commonName", "root") in each for each in subject)
        words = rest.rstrip(b"\0").decode().split("\0")
        told = dict(zip(words[::2], words[1::2], strict=False))
        if not certified:
            wire.sendall(b"R" + struct.pack("!ii", 8, 3))
            size = struct.unpack("!i", _exactly(wire, 5)[1:])[0]
            said = _exactly(wire, size - 4).rstrip(b"\0").decode()
            node = self.server.node
            if not said or said != node.passwords.get(told["user"]) or told["user"] not in node.admins:
                return self.refuse(wire, "28P01", f"password authentication failed for user {told['user']}")
        if told.get("database") not in self.server.node.databases:
            return self.refuse(wire, "3D000", f'database "{told.get("database")}" does not exist')
        hello = {"crdb_version": "CockroachDB CCL v25.3.1 (a stand-in)", "server_version": "13.0.0"}
        hello |= {"client_encoding": "UTF8", "standard_conforming_strings": "on"}
        wire.sendall(_message(b"R", struct.pack("!i", 0)))
        for name, value in hello.items():
            wire.sendall(_message(b"S", f"{name}\0{value}\0".encode()))
        wire.sendall(_message(b"Z", b"I"))
        for sql in _statements(wire):
            try:
                columns, rows = self.server.node.run(told["database"], sql.rstrip("; \n"))
            except (ValueError, KeyError, sqlite3.Error) as error:
                self.refuse(wire, "42601", str(error))
            else:
                _answer(wire, columns, rows)
            wire.sendall(_message(b"Z", b"I"))

    def refuse(self, wire: Any, code: str, problem: str) -> None:
        wire.sendall(_message(b"E", f"SERROR\0C{code}\0M{problem}\0\0".encode()))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self, address: str, certificates: Path) -> None:
        self.node = Node()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificates / "node.crt", certificates / "node.key")
        self.tls.load_verify_locations(certificates / "ca.crt")
        self.tls.verify_mode = ssl.CERT_OPTIONAL
        super().__init__(_place(address), Session)


def _statements(wire: Any) -> Iterator[str]:
    while (head := _exactly(wire, 5)) and head[:1] == b"Q":
        yield _exactly(wire, struct.unpack("!i", head[1:])[0] - 4).rstrip(b"\0").decode()


def _answer(wire: Any, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    if columns:
        fields = b"".join(name.encode() + b"\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0) for name in columns)
        wire.sendall(_message(b"T", struct.pack("!h", len(columns)) + fields))
    for row in rows:
        cells = [str(cell).encode() for cell in row]
        wire.sendall(
            _message(b"D", struct.pack("!h", len(row)) + b"".join(struct.pack("!i", len(c)) + c for c in cells))
        )
    wire.sendall(_message(b"C", b"OK\0"))


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _exactly(wire: Any, size: int) -> bytes:
    heard = b""
    while len(heard) < size and (more := wire.recv(size - len(heard))):
        heard += more
    return heard


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def start(told: argparse.Namespace) -> None:
    assert re.fullmatch(r"type=mem,size=\d+(\.\d+)?([KMGT]i?B|%)?", told.store), f"bad store spec {told.store!r}"
    assert os.environ["COCKROACH_SKIP_ENABLING_DIAGNOSTIC_REPORTING"] == "true"
    assert told.accept_sql_without_tls
    assert told.unencrypted_localhost_http
    assert "sinks:" in told.log_config_file.read_text()
    assert not (told.certs_dir / "ca.key").exists()
    server = Server(told.sql_addr, told.certs_dir)
    for address in (told.listen_addr, told.http_addr):
        other = socketserver.ThreadingTCPServer(_place(address), socketserver.BaseRequestHandler)
        threading.Thread(target=other.serve_forever, daemon=True).start()
    told.listening_url_file.write_text(f"postgresql://root@{told.sql_addr}/defaultdb?sslmode=verify-full\n")
    server.serve_forever()


def run_file(told: argparse.Namespace) -> None:
    import psycopg

    assert urlsplit(os.environ["COCKROACH_URL"]).query == "sslmode=require"
    with psycopg.connect(os.environ["COCKROACH_URL"], autocommit=True) as connection:
        for statement in told.file.read_text().split(";"):
            if statement.strip():
                connection.execute(statement.strip())


def main() -> None:
    parser = argparse.ArgumentParser(prog="cockroach", allow_abbrev=False)
    commands = parser.add_subparsers(required=True)
    cert = commands.add_parser("cert")
    cert.add_argument("kind", choices=["create-ca", "create-node", "create-client"])
    cert.add_argument("names", nargs="*")
    cert.add_argument("--certs-dir", type=Path, required=True)
    cert.add_argument("--ca-key", type=Path, required=True)
    cert.set_defaults(run=lambda told: make_certificate(told.kind, told.names, told.certs_dir, told.ca_key))
    node = commands.add_parser("start-single-node")
    for name in ("--sql-addr", "--listen-addr", "--http-addr", "--store"):
        node.add_argument(name, required=True)
    for name in ("--certs-dir", "--log-config-file", "--listening-url-file"):
        node.add_argument(name, type=Path, required=True)
    for name in ("--accept-sql-without-tls", "--unencrypted-localhost-http"):
        node.add_argument(name, action="store_true")
    node.set_defaults(run=start)
    sql = commands.add_parser("sql")
    sql.add_argument("--set")
    sql.add_argument("--file", type=Path, required=True)
    sql.set_defaults(run=run_file)
    told = parser.parse_args()
    told.run(told)


if __name__ == "__main__":
    main()
