"""Databases of one's own on a shared Postgres: cloned from a template that is kept right after the set-up."""

import time
from typing import TYPE_CHECKING

from servicectx.errors import NotIsolable
from servicectx.services import makers
from servicectx.services.postgres_wire import Connection, Refused, literal, quoted

if TYPE_CHECKING:
    from servicectx.details.postgres import PostgresDetails

TEMPLATE = "servicectx_template"
WAIT = 60.0  # seconds for one statement


def freeze(details: "PostgresDetails") -> None:
    """Keep the database as it is now as the template. While somebody is connected to it that cannot be done."""
    connection = _connect(details, "postgres")
    try:
        others = connection.run(f"SELECT pid FROM pg_stat_activity WHERE datname = {literal(details.dbname)}")
        if others and details.dbname != "postgres":
            _remark(connection, f"its set-up left {len(others)} connections open")
        elif len(others) > 1:
            _remark(connection, f"its set-up left {len(others) - 1} connections open")
        else:
            if details.dbname == "postgres":  # a connection to the source of a copy would be in its own way
                connection.close()
                connection = _connect(details, "template1")
            _clone(connection, TEMPLATE, details.dbname)
            connection.run(f"ALTER DATABASE {TEMPLATE} IS_TEMPLATE true ALLOW_CONNECTIONS false")
    finally:
        connection.close()


def create(details: "PostgresDetails") -> str:
    """A fresh database; its name. What dead makers left is dropped on the way."""
    try:
        connection = _connect(details, details.dbname if details.external else "postgres")
        try:
            known = connection.run("SELECT datname FROM pg_database WHERE datname ~ '^(sc_|servicectx_)'")
            for name in known:
                if name is not None and makers.is_dead(name):
                    _drop(connection, name)
            (remark,) = connection.run(f"SELECT shobj_description(oid, 'pg_database') {_TEMPLATE1}")
            if remark and remark.startswith(_REMARK):
                raise NotIsolable(service="postgres", reason=remark.removeprefix(_REMARK))
            name = makers.sign()
            _clone(connection, name, TEMPLATE if TEMPLATE in known else "template1")
            return name
        finally:
            connection.close()
    except Refused as refusal:
        cure = f"; let it: ALTER ROLE {quoted(details.user)} CREATEDB" if refusal.code == "42501" else ""
        reason = f"user {details.user!r} cannot make a database: {refusal}{cure}"
        raise NotIsolable(service="postgres", reason=reason) from None


def drop(details: "PostgresDetails", name: str) -> None:
    """Drop it, whoever is connected."""
    connection = _connect(details, "template1" if details.external else "postgres")
    try:
        _drop(connection, name)
    finally:
        connection.close()


_REMARK = "servicectx: "
_TEMPLATE1 = "FROM pg_database WHERE datname = 'template1'"


def _remark(connection: Connection, what: str) -> None:
    """Leave a word for `create`: without a template it would give an empty database, and nobody would know why."""
    text = f"{_REMARK}{what}, so no template could be kept; close them in the set-up (engine.dispose(), say)"
    connection.run(f"COMMENT ON DATABASE template1 IS {literal(text)}")


def _connect(details: "PostgresDetails", dbname: str) -> Connection:
    return Connection(details.host, details.port, details.user, details.password, dbname, WAIT)


def _clone(connection: Connection, name: str, source: str) -> None:
    """A file copy is the cheapest, and the cheapest to drop, where durability is off (Postgres 15 and later)."""
    major = int(connection.parameters.get("server_version", "0").split(".")[0].split(" ")[0] or 0)
    strategy = " STRATEGY file_copy" if major >= 15 else ""
    connection.run(f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(source)}{strategy}")


def _drop(connection: Connection, name: str) -> None:
    """End its clients and see them gone first: DROP would look only every 100 ms whether they are."""
    clients = f"FROM pg_stat_activity WHERE datname = {literal(name)}"
    until = time.monotonic() + 1.0
    while connection.run(f"SELECT pg_terminate_backend(pid) {clients}") and time.monotonic() < until:
        time.sleep(0.001)
    connection.run(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")
