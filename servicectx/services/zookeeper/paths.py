"""Paths of a ZooKeeper server."""

import contextlib
from typing import TYPE_CHECKING

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.services.zookeeper.wire import Connection, Refused

if TYPE_CHECKING:
    from servicectx.services.zookeeper.details import ZookeeperDetails  # the type parameter below

KEPT = b"servicectx: kept"


class ZookeeperPaths(Isolation["ZookeeperDetails"]):
    """Paths of a ZooKeeper server, as namespaces."""

    def create(self) -> "ZookeeperDetails":
        path = f"{self.details.prefix}/{owner_names.new_name()}"
        try:
            with Connection(self.details.host, self.details.port) as connection:
                for name in connection.children(self.details.prefix or "/"):
                    left = f"{self.details.prefix}/{name}"
                    with contextlib.suppress(Refused):  # another process removes it, or this user may not
                        if owner_names.owner_is_dead(name) and connection.get(left) != KEPT:
                            connection.remove(left)
                connection.create(path)
        except Refused as refusal:
            raise NotIsolable(service=self.details.service, reason=f"a path cannot be created: {refusal}") from None
        return self.details.model_copy(update={"prefix": path})

    def close(self, namespace: "ZookeeperDetails") -> None:
        with Connection(namespace.host, namespace.port) as connection:
            try:
                connection.remove(namespace.prefix)
            except Refused as refusal:
                raise OSError(str(refusal)) from None

    def keep(self, namespace: "ZookeeperDetails") -> None:
        with Connection(namespace.host, namespace.port) as connection:
            connection.set(namespace.prefix, KEPT)
