"""Details of a CockroachDB database."""

from typing import Any, ClassVar

from servicectx.services import urls
from servicectx.services.details import address
from servicectx.services.postgres.details import PostgresDetails


class CockroachDetails(PostgresDetails):
    """A CockroachDB database, in the forms that Postgres clients expect. `http_port`: the port of the console.

    `username`, `sql_port`, `sync_dsn`, `async_dsn` and `webui` are the names that managed-service-fixtures uses.
    """

    url_form: ClassVar[urls.Form] = PostgresDetails.url_form._replace(
        schemes={"cockroachdb": {}, "postgresql": {}, "postgres": {}}, port=26257
    )

    user: str = "root"
    dbname: str = "defaultdb"
    http_port: int | None = None

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """A URL without a database means `defaultdb`, as for the program `cockroach`."""
        return super(PostgresDetails, cls).url_fields(fields)

    @property
    def sqlalchemy_url(self) -> str:
        """For `sqlalchemy.create_engine`, with psycopg 3 and the dialect of sqlalchemy-cockroachdb."""
        return self._sqlalchemy("cockroachdb+psycopg")

    @property
    def async_sqlalchemy_url(self) -> str:
        """For `sqlalchemy.ext.asyncio.create_async_engine`, with asyncpg and the dialect of sqlalchemy-cockroachdb."""
        return self._async_sqlalchemy("cockroachdb+asyncpg")

    def url_for(self, driver: str) -> str:
        """As for Postgres; for SQLAlchemy with the dialect of sqlalchemy-cockroachdb. Raises ValueError."""
        return super().url_for(driver).replace("postgresql+", "cockroachdb+", 1)

    @property
    def http_url(self) -> str | None:
        """The URL of the web console."""
        return None if self.http_port is None else address("http", self.host, self.http_port)

    @property
    def username(self) -> str:
        """`user`."""
        return self.user

    @property
    def sql_port(self) -> int:
        """`port`."""
        return self.port

    @property
    def sync_dsn(self) -> str:
        """`sqlalchemy_url`."""
        return self.sqlalchemy_url

    @property
    def async_dsn(self) -> str:
        """`async_sqlalchemy_url`."""
        return self.async_sqlalchemy_url

    @property
    def webui(self) -> str | None:
        """`http_url`."""
        return self.http_url

    def env(self) -> dict[str, str]:
        """Variables of libpq, `DATABASE_URL`, and `COCKROACH_URL` for `cockroach sql`, which trusts no certificate."""
        mode = self.sslmode or ("require" if self.password else "disable")
        plain = self.model_copy(update={"sslmode": None})
        return super().env() | {"COCKROACH_URL": plain._address("postgresql", {"sslmode": mode})}
