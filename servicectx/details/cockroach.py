"""How to connect to a CockroachDB database."""

from servicectx.details.base import address
from servicectx.details.postgres import PostgresDetails


class CockroachDetails(PostgresDetails):
    """A CockroachDB database, in the forms that clients of Postgres expect. `http_port` is the console's."""

    user: str = "root"
    dbname: str = "defaultdb"
    http_port: int | None = None

    @property
    def sqlalchemy_url(self) -> str:
        """For `sqlalchemy.create_engine`, with psycopg 3 and the dialect of sqlalchemy-cockroachdb."""
        return self._address("cockroachdb+psycopg")

    @property
    def async_sqlalchemy_url(self) -> str:
        """For `sqlalchemy.ext.asyncio.create_async_engine`, with asyncpg and that dialect."""
        return self._address("cockroachdb+asyncpg")

    @property
    def http_url(self) -> str | None:
        """The console, for people."""
        return None if self.http_port is None else address("http", self.host, self.http_port)

    def env(self) -> dict[str, str]:
        """What libpq reads, `DATABASE_URL`, and `COCKROACH_URL` for `cockroach sql`, which trusts no certificate."""
        mode = "require" if self.password else "disable"
        return super().env() | {"COCKROACH_URL": f"{self.url}?sslmode={mode}"}
