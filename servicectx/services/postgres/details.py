"""How to connect to a Postgres database."""

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlencode

from servicectx.services import libpq, urls
from servicectx.services.details import ServiceDetails, address, filled, sqlalchemy_address


class PostgresDetails(ServiceDetails):
    """A Postgres database: `user`, `password`, `dbname`, and the forms that clients expect."""

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
    version: str | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """As libpq reads it: the database of a URL that names none has the user's name."""
        user = {"dbname": fields["user"]} if fields.get("user") else {}
        return super().url_fields(user | fields)

    @property
    def url(self) -> str:
        """`postgresql://user:password@host:port/dbname`: psycopg, asyncpg, psql.

        Where libpq's variables of this process (`PGHOSTADDR`, `PGSERVICE` ...) would change the connection, the URL has
        parameters against it.
        """
        settings = {each.parameter: each.value for each in self._in_the_way() if each.everywhere}
        return self._address("postgresql", settings)

    @property
    def sqlalchemy_url(self) -> str:
        """For `sqlalchemy.create_engine`, with psycopg 3."""
        return self._sqlalchemy("postgresql+psycopg")

    @property
    def async_sqlalchemy_url(self) -> str:
        """For `sqlalchemy.ext.asyncio.create_async_engine`, with asyncpg."""
        return self._async_sqlalchemy("postgresql+asyncpg")

    @property
    def dsn(self) -> str:
        """libpq's `key='value'` form, with everything that variables of this process would change otherwise."""
        values = {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "dbname": self.dbname,
        }
        values = {key: value for key, value in values.items() if value} | self._settings()
        return " ".join(f"{key}='{_escape(value)}'" for key, value in values.items())

    def env(self) -> dict[str, str]:
        """What libpq reads, and `DATABASE_URL` for frameworks.

        Also a value without effect for each other variable of libpq's that is set in this process and decides about
        the connection. `PGSERVICE` has no such value: `unset_env()` has it, and `environment()` leaves it out.
        """
        names = {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.dbname,
            "DATABASE_URL": self._address("postgresql", {}),
        }
        set_here = {each.variable: each.value for each in self._in_the_way() if each.variable in os.environ}
        return names | set_here | ({"PGSSLMODE": self.sslmode} if self.sslmode else {})

    def unset_env(self, environment: Mapping[str, str] | None = None) -> list[str]:
        """As for every service. For a server from outside, variables for TLS and passwords are left to the caller."""
        names = os.environ if environment is None else environment
        foreign = libpq.PLACE if self.external else libpq.UNSET
        kept = {"PGSSLMODE"} if self.sslmode else set()
        return [name for name in foreign if name in names and name not in kept]

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """As for every service."""
        unset = self.unset_env(base)
        return {name: value for name, value in super().environment(base).items() if name not in unset}

    def _in_the_way(self) -> list[libpq.Setting]:
        return list(libpq.in_the_way(os.environ, self.external))

    def _settings(self) -> dict[str, str]:
        """Parameters for libpq itself, which takes every one."""
        settings = {each.parameter: each.value for each in self._in_the_way()}
        return settings | ({"sslmode": self.sslmode} if self.sslmode else {})

    def _sqlalchemy(self, scheme: str) -> str:
        """SQLAlchemy drops parameters that are empty, so each has a value that means the same."""
        settings = self._settings()
        same = {"hostaddr": libpq.address_of(self.host), "options": " "}
        return self._address(scheme, {name: value or same.get(name, "") for name, value in settings.items()})

    def _async_sqlalchemy(self, scheme: str) -> str:
        """The keyword arguments of asyncpg's `connect`, which calls `sslmode` otherwise."""
        settings = self._settings()
        known = {"ssl": settings.get("sslmode", ""), "target_session_attrs": settings.get("target_session_attrs", "")}
        return self._address(scheme, filled(known), ssl=False)

    def _address(self, scheme: str, settings: Mapping[str, str], ssl: bool = True) -> str:
        form = sqlalchemy_address if "+" in scheme else address  # a scheme of SQLAlchemy's names the driver
        plain = form(scheme, self.host, self.port, self.dbname, self.user, self.password or None)
        every = {**settings, **({"sslmode": self.sslmode} if self.sslmode and ssl else {})}
        return plain + ("?" + urlencode(every, quote_via=quote) if every else "")


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
