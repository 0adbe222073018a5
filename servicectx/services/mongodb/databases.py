"""Databases of a MongoDB server."""

from contextlib import closing
from typing import TYPE_CHECKING

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.services.mongodb.wire import Connection, Refused

if TYPE_CHECKING:
    from servicectx.services.mongodb.details import MongodbDetails  # the type parameter below

WAIT = 60.0  # seconds for one command


class MongodbDatabases(Isolation["MongodbDetails"]):
    """Databases of a MongoDB server, as namespaces."""

    def create(self) -> "MongodbDetails":
        """A name for a database that MongoDB makes at the first write. Databases of dead owners are dropped."""
        try:
            with closing(_connect(self.details)) as connection:
                for name in _ours(connection):
                    if owner_names.owner_is_dead(name):
                        connection.run(name, {"dropDatabase": 1})
        except Refused as refusal:
            raise NotIsolable(service=self.details.service, reason=f"the server refuses: {refusal}") from None
        return self.details.model_copy(update={"dbname": owner_names.new_name()})

    def forget_earlier(self) -> None:
        with closing(_connect(self.details)) as connection:
            for name in filter(owner_names.is_own, _ours(connection)):
                connection.run(name, {"dropDatabase": 1})

    def close(self, namespace: "MongodbDetails") -> None:
        with closing(_connect(namespace)) as connection:
            connection.run(namespace.dbname, {"dropDatabase": 1})


def _ours(connection: Connection) -> list[str]:
    ours = {"listDatabases": 1, "nameOnly": True, "filter": {"name": {"$regex": f"^{owner_names.PREFIX}_"}}}
    return [found["name"] for found in connection.run("admin", ours)["databases"]]


def _connect(details: "MongodbDetails") -> Connection:
    connection = Connection(details.host, details.port, WAIT)
    try:
        if details.user:
            connection.log_in(details.user, details.password, details.auth_source)
    except BaseException:
        connection.close()
        raise
    return connection
