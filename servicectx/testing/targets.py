"""The database that a migration is about to change."""

from typing import Any, NamedTuple

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Target(NamedTuple):
    """A database by its server. `host` may be the path of a Unix socket, or its directory."""

    host: str
    port: str
    name: str

    def equals(self, other: "Target") -> bool:
        """Whether both are one database. The names of the loopback interface are equal."""
        hosts = {self.host, other.host}
        return (len(hosts) == 1 or hosts <= LOOPBACK) and self[1:] == other[1:]

    def __str__(self) -> str:
        address = f"{self.host}:{self.port}" if self.host or self.port else "no server"
        return f"{address}, database {self.name!r}"


def targets(details: Any) -> list[Target]:
    """The database of some details, by each of its addresses."""
    sockets = [details.env().get("PGHOST"), getattr(details, "socket", "")]
    hosts = dict.fromkeys([details.host, *filter(None, sockets)])
    return [Target(host, str(details.port), details.dbname) for host in hosts]
