"""How to connect to a Postgres database."""

from servicectx.details.base import ServiceDetails, address, sqlalchemy_address


class PostgresDetails(ServiceDetails):
    """A Postgres database: `user`, `password`, `dbname`, and the forms that clients expect."""

    user: str = "postgres"
    password: str = ""
    dbname: str = "postgres"
    version: str | None = None

    @property
    def url(self) -> str:
        """`postgresql://user:password@host:port/dbname`: psycopg, asyncpg, psql."""
        return self._address("postgresql")

    @property
    def sqlalchemy_url(self) -> str:
        """For `sqlalchemy.create_engine`, with psycopg 3."""
        return self._address("postgresql+psycopg")

    @property
    def async_sqlalchemy_url(self) -> str:
        """For `sqlalchemy.ext.asyncio.create_async_engine`, with asyncpg."""
        return self._address("postgresql+asyncpg")

    @property
    def dsn(self) -> str:
        """libpq's `key='value'` form."""
        values = {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "dbname": self.dbname,
        }
        return " ".join(f"{key}='{_escape(value)}'" for key, value in values.items() if value)

    def env(self) -> dict[str, str]:
        """What libpq reads, and `DATABASE_URL` for frameworks."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.dbname,
            "DATABASE_URL": self.url,
        }

    def _address(self, scheme: str) -> str:
        form = sqlalchemy_address if "+" in scheme else address  # a scheme of SQLAlchemy's names the driver
        return form(scheme, self.host, self.port, self.dbname, self.user, self.password or None)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
