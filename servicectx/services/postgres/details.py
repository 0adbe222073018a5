"""Connection details of a Postgres database."""

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlencode

from servicectx.services import libpq, urls
from servicectx.services.details import ServiceDetails, address, filled, place, sqlalchemy_address, unknown_driver


class PostgresDetails(ServiceDetails):
    """A Postgres database: `user`, `password`, `dbname`, and the forms that clients expect.

    `socket`: the path of its Unix socket, or "". URLs, `dsn` and `env()` then lead to the socket.
    """

    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"postgresql": {}, "postgres": {}},
        drivers=True,
        port=5432,
        user="user",
        password="password",  # noqa: S106  # the name of a field
        path="dbname",
        query={"user": "user", "password": "password", "dbname": "dbname", "sslmode": "sslmode"},
        without_effect={"hostaddr": "", "options": "", "target_session_attrs": "any"},
    )

    user: str = "postgres"
    password: str = ""
    dbname: str = "postgres"
    socket: str = ""
    version: str | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """As in libpq: the default database of a URL has the user's name."""
        user = {"dbname": fields["user"]} if fields.get("user") else {}
        return super().url_fields(user | fields)

    @property
    def url(self) -> str:
        """`postgresql://user:password@host:port/dbname`: psycopg, asyncpg, psql.

        Where libpq's variables of this process (`PGHOSTADDR`, `PGSERVICE` ...) would change the connection, the URL
        has parameters that override them.
        """
        settings = {entry.parameter: entry.value for entry in self._overrides() if entry.everywhere}
        return self._address("postgresql", settings)

    @property
    def sqlalchemy_url(self) -> str:
        """For `sqlalchemy.create_engine`, with psycopg 3."""
        return self._sqlalchemy("postgresql+psycopg")

    @property
    def async_sqlalchemy_url(self) -> str:
        """For `sqlalchemy.ext.asyncio.create_async_engine`, with asyncpg."""
        return self._async_sqlalchemy("postgresql+asyncpg")

    def url_for(self, driver: str) -> str:
        """A URL for one driver.

        Args:
            driver: "psycopg", "psycopg2", "asyncpg" or "pg8000" for `sqlalchemy.create_engine`; "jdbc" for Java, always
                with the port; "celery" for Celery's database backend, with psycopg 3. The drivers themselves take
                `url`.

        Raises:
            ValueError: no URL is known for this driver.
        """
        if driver == "jdbc":
            login = filled({"user": self.user, "password": self.password, "sslmode": self.sslmode or ""})
            place = address("postgresql", self.host, self.port, self.dbname)
            return f"jdbc:{place}?{urlencode(login, quote_via=quote)}"
        if driver == "asyncpg":
            return self._async_sqlalchemy("postgresql+asyncpg")
        if driver == "pg8000":  # it reads no variable of libpq and takes no sslmode
            address_of_port = (self.host, self.port, self.dbname, self.user, self.password or None)
            plain = sqlalchemy_address("postgresql+pg8000", *address_of_port)
            return plain + (f"?{urlencode({'unix_sock': self.socket}, safe='/')}" if self.socket else "")
        if driver in ("psycopg", "psycopg2"):
            return self._sqlalchemy(f"postgresql+{driver}")
        if driver == "celery":
            return f"db+{self.sqlalchemy_url}"
        raise unknown_driver(driver, ("psycopg", "psycopg2", "asyncpg", "pg8000", "jdbc", "celery"))

    @property
    def dsn(self) -> str:
        """libpq's `key='value'` form, with parameters that override libpq's variables of this process."""
        values = {
            "host": self._host(),
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "dbname": self.dbname,
        }
        values = {key: value for key, value in values.items() if value} | self._settings()
        return " ".join(f"{key}='{_escape(value)}'" for key, value in values.items())

    def env(self) -> dict[str, str]:
        """The variables of libpq, `POSTGRES_...` as for the usual image, and `DATABASE_URL` for frameworks.

        Other variables of libpq that are set in this process and affect the connection get a neutral value.
        `PGSERVICE` has no neutral value: `unset_env()` lists it, and `environment()` removes it.
        """
        names = {
            "PGHOST": self._host(),
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.dbname,
            "POSTGRES_HOST": self.host,
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_USER": self.user,
            "POSTGRES_PASSWORD": self.password,
            "POSTGRES_DB": self.dbname,
            "DATABASE_URL": self._address("postgresql", {}),
        }
        set_here = {entry.variable: entry.value for entry in self._overrides() if entry.variable in os.environ}
        return filled(names) | set_here | ({"PGSSLMODE": self.sslmode} if self.sslmode else {})

    def unset_env(self, environment: Mapping[str, str] | None = None) -> list[str]:
        """As for every service. For an external server, the caller's variables for TLS and passwords stay."""
        names = os.environ if environment is None else environment
        foreign = libpq.PLACE if self.external else libpq.UNSET
        if not (self.password or self.external):
            foreign += ("PGPASSWORD", "POSTGRES_PASSWORD")
        kept = {"PGSSLMODE"} if self.sslmode else set()
        return [name for name in foreign if name in names and name not in kept]

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """As for every service."""
        unset = self.unset_env(base)
        return {name: value for name, value in super().environment(base).items() if name not in unset}

    def _overrides(self) -> list[libpq.Setting]:
        return list(libpq.in_the_way(os.environ, self.external))

    def _settings(self) -> dict[str, str]:
        """Parameters for libpq itself, which accepts all of them."""
        settings = {entry.parameter: entry.value for entry in self._overrides()}
        return settings | ({"sslmode": self.sslmode} if self.sslmode else {})

    def _sqlalchemy(self, scheme: str) -> str:
        """A URL for SQLAlchemy, which drops empty parameters: each gets an equivalent value instead."""
        settings = self._settings()
        same = {"hostaddr": libpq.address_of(self.host), "options": " "}
        if self.socket and "hostaddr" in settings:  # only a port has an address that overrides the variable
            return self.model_copy(update={"socket": ""})._sqlalchemy(scheme)
        return self._address(scheme, {name: value or same.get(name, "") for name, value in settings.items()})

    def _async_sqlalchemy(self, scheme: str) -> str:
        """A URL with the keyword arguments of asyncpg's `connect`, in which `sslmode` has another name."""
        settings = self._settings()
        known = {"ssl": settings.get("sslmode", ""), "target_session_attrs": settings.get("target_session_attrs", "")}
        return self._address(scheme, filled(known), ssl=False)

    def _address(self, scheme: str, settings: Mapping[str, str], ssl: bool = True) -> str:
        form = sqlalchemy_address if "+" in scheme else address  # SQLAlchemy's schemes name the driver
        plain = form(scheme, self.host, self.port, self.dbname, self.user, self.password or None)
        socket = {"host": self._host(), "port": str(self.port)} if self.socket else {}
        if socket:  # a host in the parameters replaces that of the URL
            plain = plain.replace(place(self.host, self.port), "", 1)
        every = {**socket, **settings, **({"sslmode": self.sslmode} if self.sslmode and ssl else {})}
        return plain + ("?" + urlencode(every, quote_via=quote, safe="/") if every else "")

    def _host(self) -> str:
        """The value of libpq's `host`: the directory of the Unix socket, if there is one."""
        return os.path.dirname(self.socket) or self.host


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
