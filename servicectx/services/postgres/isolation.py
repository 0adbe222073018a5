"""The isolation of Postgres: databases, by name for the pool, or signed with their owner."""

from typing import TYPE_CHECKING

from servicectx.isolation.interface import Isolation
from servicectx.isolation.setup_step import SetupSteps
from servicectx.services.postgres import databases
from servicectx.services.postgres.clone import PostgresClones

if TYPE_CHECKING:
    from servicectx.services.postgres.details import PostgresDetails


class PostgresIsolation(Isolation["PostgresDetails"]):
    """Databases as namespaces. `data` is the server's data directory, or "" where this user cannot read it."""

    def __init__(self, details: "PostgresDetails", data: str = "") -> None:
        super().__init__(details)
        self._data = data

    def forget_earlier(self) -> None:
        databases.forget_earlier(databases.Databases.of(self.details))

    def open(self, setup: SetupSteps = ()) -> "PostgresDetails":
        """Clone a database. Each chain of set-ups runs once, in a template."""
        clones = PostgresClones(self.details)  # a database outside of the pool is not recycled: no data directory
        return clones.details_of(clones.create(None, setup))

    def close(self, namespace: "PostgresDetails") -> None:
        PostgresClones(namespace).drop(namespace.dbname)

    def keep(self, namespace: "PostgresDetails") -> None:
        PostgresClones(namespace).server.keep(namespace.dbname)

    def freeze(self) -> bool:
        return databases.freeze(self.details)

    def clones(self) -> PostgresClones:
        return PostgresClones(self.details, self._data)
