"""Databases of a CockroachDB server."""

from contextlib import closing
from typing import TYPE_CHECKING

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.services.postgres.wire import Connection, Refused, quoted

if TYPE_CHECKING:
    from servicectx.services.cockroach.details import CockroachDetails  # the type parameter below

WAIT = 60.0  # seconds for one statement


class CockroachDatabases(Isolation["CockroachDetails"]):
    """Databases of a CockroachDB server, as namespaces."""

    def create(self) -> "CockroachDetails":
        try:
            with closing(_connect(self.details)) as connection:
                for left in connection.run("SELECT datname FROM pg_database WHERE datname LIKE 'sc\\_%'"):
                    if left is not None and owner_names.owner_is_dead(left):
                        _drop(connection, left)
                name = owner_names.new_name()
                connection.run(f"CREATE DATABASE {quoted(name)}")
                return self.details.model_copy(update={"dbname": name})
        except Refused as refusal:
            reason = f"user {self.details.user!r} cannot create a database: {refusal}"
            raise NotIsolable(service=self.details.service, reason=reason) from None

    def close(self, namespace: "CockroachDetails") -> None:
        with closing(_connect(namespace.model_copy(update={"dbname": "system"}))) as connection:
            _drop(connection, namespace.dbname)


def _connect(details: "CockroachDetails") -> Connection:
    return Connection(details.host, details.port, details.user, details.password, details.dbname, WAIT)


def _drop(connection: Connection, name: str) -> None:
    connection.run(f"DROP DATABASE IF EXISTS {quoted(name)} CASCADE")
