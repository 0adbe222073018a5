"""The database that a migration is about to change."""

from typing import NamedTuple

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Target(NamedTuple):
    """A database by its server. `host` may be the directory of a Unix socket."""

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
