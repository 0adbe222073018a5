"""Separate databases on a shared MariaDB. They start empty: the server cannot clone a database."""

from contextlib import closing, suppress
from typing import TYPE_CHECKING

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.services.mariadb.wire import Connection, Refused, literal, quoted
from servicectx.system.originals import time

if TYPE_CHECKING:
    from servicectx.services.mariadb.details import MariadbDetails

WAIT = 60.0  # seconds for one statement
DROP_TIMEOUT = 5.0  # seconds for transactions that use its tables from other databases
DAY = 86400
DENIED, NO_COLUMN, NO_THREAD, LOCKED = 1044, 1054, 1094, 1205

_KEPT = "servicectx: kept"


class MariadbDatabases(Isolation["MariadbDetails"]):
    """Databases as namespaces."""

    def create(self) -> "MariadbDetails":
        return self.details.model_copy(update={"dbname": create(self.details)})

    def close(self, namespace: "MariadbDetails") -> None:
        drop(namespace, namespace.dbname)

    def forget_earlier(self) -> None:
        with closing(_connect(self.details)) as connection, suppress(Refused):
            for name in _unkept(connection):
                if owner_names.is_own(name):
                    _drop(connection, name)

    def keep(self, namespace: "MariadbDetails") -> None:
        keep(namespace, namespace.dbname)


def create(details: "MariadbDetails") -> str:
    """Create a database and return its name. Databases of dead owners are dropped first."""
    try:
        with closing(_connect(details)) as connection:
            (now,) = connection.run("SELECT unix_timestamp()")
            _sweep(connection, int(now or 0), old=details.external)
            name = owner_names.new_name(int(now or 0))
            connection.run(f"CREATE DATABASE {quoted(name)}")
            return name
    except Refused as refusal:
        cure = rf"; run GRANT ALL ON `sc\_%`.* TO {details.user}" if refusal.code == DENIED else ""
        reason = f"user {details.user!r} cannot create a database: {refusal}{cure}"
        raise NotIsolable(service="mariadb", reason=reason) from None


def drop(details: "MariadbDetails", name: str) -> None:
    """Drop a database and end its connections. Raises OSError when another database's transaction blocks it."""
    with closing(_connect(details)) as connection:
        try:
            _drop(connection, name)
        except Refused as refusal:
            raise OSError(str(refusal)) from None


def keep(details: "MariadbDetails", name: str) -> None:
    """Protect a database from sweeps."""
    with closing(_connect(details)) as connection:
        connection.run(f"ALTER DATABASE {quoted(name)} COMMENT = {literal(_KEPT)}")


def _connect(details: "MariadbDetails") -> Connection:
    return Connection(details.host, details.port, details.user, details.password, "", WAIT)


def _sweep(connection: Connection, now: int, old: bool) -> None:
    """Drop the databases of this host's dead owners. With `old`, also drop databases older than a day.

    Databases that cannot be dropped are skipped. MySQL has no comments on databases, which mark kept databases, so
    nothing is dropped there.
    """
    for name in _unkept(connection):
        if owner_names.owner_is_dead(name) or (old and owner_names.age(name, now) > DAY):
            with suppress(Refused):
                _drop(connection, name)


def _unkept(connection: Connection) -> list[str]:
    mine = rf"schema_name LIKE '{owner_names.PREFIX}\_%' AND schema_comment <> {literal(_KEPT)}"
    try:
        names = connection.run(f"SELECT schema_name FROM information_schema.schemata WHERE {mine}")
    except Refused as refusal:
        if refusal.code != NO_COLUMN:
            raise
        return []
    return [name for name in names if name is not None]


def _drop(connection: Connection, name: str) -> None:
    """Drop a database. Its clients are ended first: their open transactions would lock the tables without limit."""
    connection.run("SET lock_wait_timeout = 1")
    until = time.monotonic() + DROP_TIMEOUT
    while True:
        for id in connection.run(f"SELECT id FROM information_schema.processlist WHERE db = {literal(name)}"):
            try:
                connection.run(f"KILL {id}")
            except Refused as refusal:
                if refusal.code != NO_THREAD:
                    raise
        try:
            connection.run(f"DROP DATABASE IF EXISTS {quoted(name)}")
            return
        except Refused as refusal:
            if refusal.code != LOCKED or time.monotonic() > until:
                raise
