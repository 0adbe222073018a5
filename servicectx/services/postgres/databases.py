"""Separate databases on a shared Postgres: cloned from a template that is stored right after the set-up."""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.services.postgres.attributes import DENIED, copy_attributes
from servicectx.services.postgres.blockers import remove_blockers
from servicectx.services.postgres.connection_cache import cached_connection
from servicectx.services.postgres.drop import drop, is_left_alone
from servicectx.services.postgres.locks import try_lock, unlock
from servicectx.services.postgres.wire import Connection, Refused, literal, quoted

if TYPE_CHECKING:
    from servicectx.services.postgres.details import PostgresDetails

TEMPLATE = "servicectx_template"
TEMPLATE_PREFIX = "servicectx_"  # of the name of a template with more set-ups
HALF = "_half"  # suffix of the name of an unfinished template
BASE = "base"  # stands for TEMPLATE, or for template1 where there was no set-up
WAIT = 60.0  # seconds for one statement
DAY = 86400
IN_USE = "55006"  # SQLSTATE

OWN_TEMPLATE = re.compile(f"{TEMPLATE_PREFIX}[0-9a-f]{{16}}({HALF})?|{TEMPLATE}{HALF}")  # not the frozen state

_REMARK = "servicectx: "
_KEPT = "servicectx: kept"


class Databases:
    """The databases of one login on one server. An `external` server is durable, shared, and outlives this process."""

    def __init__(
        self, host: str, port: int | str, user: str, password: str, dbname: str = "postgres", external: bool = False
    ) -> None:
        self.host, self.port, self.user, self.password = host, int(port), user, password
        self.dbname = dbname
        self.external = external

    @classmethod
    def of(cls, details: "PostgresDetails") -> Self:
        entry = details.dbname if details.external else "postgres"
        return cls(details.host, details.port, details.user, details.password, entry, details.external)

    def connect(self, application: str = "servicectx", dbname: str | None = None, wait: float = WAIT) -> Connection:
        """Open a connection. Creators of a database connect under its name, so that `drop` can end them, too."""
        return Connection(self.host, self.port, self.user, self.password, dbname or self.dbname, wait, application)

    @contextlib.contextmanager
    def session(self, application: str = "servicectx", wait: float = WAIT) -> Iterator[Connection]:
        """A connection for the block, with `refusals`."""
        with self.refusals(), contextlib.closing(self.connect(application, wait=wait)) as connection:
            yield connection

    @contextlib.contextmanager
    def refusals(self) -> Iterator[None]:
        """Convert the server's refusals in the block to NotIsolable, with the cure."""
        try:
            yield
        except Refused as refusal:
            cure = f"; run ALTER ROLE {quoted(self.user)} CREATEDB" if refusal.code == DENIED else ""
            reason = f"user {self.user!r} cannot create a database: {refusal}{cure}"
            raise NotIsolable(service="postgres", reason=reason) from None

    # -- one at a time -----------------------------------------------------------------------------------------------

    def open(self, name: str | None, source: Callable[[Connection], str], wait: float = WAIT) -> str:
        """Create a database and return its name: `name`, or one with this process's signature.

        `source` returns the database to copy. Without `name`, databases of dead owners are dropped first.
        """
        if name is not None:
            with self.refusals(), self.cached(name, wait) as connection:
                self.clone(connection, name, source(connection))
            return name
        with self.session(wait=wait) as connection:
            sweep(connection, self.drop, old=self.external)
            if not self.external:
                drop_halves(connection)
            name = sign(connection)
            self.clone(connection, name, source(connection))
        return name

    def clone(self, connection: Connection, name: str, source: str) -> None:
        """Copy a database with its owner, grants and settings."""
        copy(connection, name, source, durable=self.external)
        copy_attributes(connection, source, name)

    def close(self, name: str) -> None:
        """Drop the database and end its connections."""
        with contextlib.closing(self._entry(name)) if self.external else self.cached("servicectx", WAIT) as connection:
            self.drop(connection, name)

    def keep(self, name: str) -> None:
        """Protect the database from sweeps."""
        with contextlib.closing(self._entry(name)) as connection:
            connection.run(f"COMMENT ON DATABASE {quoted(name)} IS {literal(_KEPT)}")

    def cached(self, name: str, wait: float = WAIT) -> contextlib.AbstractContextManager[Connection]:
        login = (self.host, self.port, self.user, self.password, self.dbname, wait)
        return cached_connection(login, name, functools.partial(self.connect, name, wait=wait))

    def _entry(self, name: str) -> Connection:
        """A connection to a database other than `name`."""
        for dbname in (self.dbname, "postgres"):
            if dbname != name:
                with contextlib.suppress(Refused):
                    return self.connect(dbname=dbname)
        return self.connect(dbname="template1")

    def inside(self, connection: Connection, name: str) -> Connection:
        """A connection to one of our databases, without login event triggers (Postgres 17 and later)."""
        options = "-c event_triggers=off" if major(connection) >= 17 and not self.external else ""
        return Connection(self.host, self.port, self.user, self.password, name, WAIT, "servicectx", options=options)

    def drop(self, connection: Connection, name: str) -> None:
        """Drop the database, even if prepared transactions, slots or subscriptions block it."""
        try:
            drop(connection, name)
        except Refused as refusal:
            if refusal.code != IN_USE:
                raise
            connection.run(f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS true")  # a client may have forbidden them
            with contextlib.closing(self.inside(connection, name)) as inside:
                remove_blockers(inside)
            drop(connection, name)


def copy(connection: Connection, name: str, source: str, durable: bool = False) -> None:
    """Copy a database. A file copy is the cheapest to make and to drop without durability (Postgres 15 and later)."""
    strategy = " STRATEGY file_copy" if major(connection) >= 15 and not durable else ""
    connection.run(f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(source)}{strategy}")


def major(connection: Connection) -> int:
    """The server's major version."""
    found = re.match(r"\d+", connection.parameters.get("server_version", ""))
    return int(found[0]) if found else 0


def new_name() -> str:
    """A name without a signature, for a database with a lock."""
    return f"{owner_names.PREFIX}_{os.urandom(6).hex()}"


def sign(connection: Connection) -> str:
    return owner_names.new_name(_now(connection))


def base(connection: Connection) -> str:
    """The database to copy when there are no more set-ups: the frozen state. Raises NotIsolable."""
    where = f"datname IN ({literal(TEMPLATE)}, 'template1')"
    found = connection.run(
        f"SELECT datname || ' ' || coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE {where}"
    )
    remarks = dict((row or "").partition(" ")[::2] for row in found)
    if (remark := remarks.get("template1", "")).startswith(_REMARK):
        raise NotIsolable(service="postgres", reason=remark.removeprefix(_REMARK))
    return TEMPLATE if TEMPLATE in remarks else "template1"


def sweep(connection: Connection, drop: Callable[[Connection, str], None], old: bool) -> None:
    """Drop the databases of dead owners. With `old`, for shared servers, also drop databases older than a day.

    Databases that belong to another user, or that another process drops meanwhile, are skipped.
    """
    kept = f"coalesce(shobj_description(oid, 'pg_database'), '') = {literal(_KEPT)}"
    mine = f"starts_with(datname, '{owner_names.PREFIX}_')"
    for name in connection.run(f"SELECT datname FROM pg_database WHERE {mine} AND NOT {kept}"):
        if name is not None and (
            owner_names.owner_is_dead(name) or (old and owner_names.age(name, _now(connection)) > DAY)
        ):
            with contextlib.suppress(Refused):
                drop(connection, name)


def forget_earlier(server: Databases) -> None:
    """Drop our databases and templates of earlier instances on the same data, except kept ones and the frozen state."""
    with server.session() as connection:
        kept = f"coalesce(shobj_description(oid, 'pg_database'), '') = {literal(_KEPT)}"
        for name in connection.run(f"SELECT datname FROM pg_database WHERE NOT {kept}"):
            if name is not None and (owner_names.is_own(name) or OWN_TEMPLATE.fullmatch(name)):
                with contextlib.suppress(Refused):
                    server.drop(connection, name)


def drop_halves(connection: Connection, prefix: str = TEMPLATE_PREFIX) -> None:
    """Drop the unfinished templates of dead processes: their locks are free."""
    where = f"starts_with(datname, {literal(prefix)}) AND right(datname, {len(HALF)}) = {literal(HALF)}"
    for name in connection.run(f"SELECT datname FROM pg_database WHERE {where}"):
        if name is not None and try_lock(connection, name):
            try:
                with contextlib.suppress(Refused):
                    drop(connection, name)
            finally:
                unlock(connection, name)


def _now(connection: Connection) -> int:
    """The server's time: one clock for all of its users."""
    (seconds,) = connection.run("SELECT extract(epoch FROM now())::bigint")
    return int(seconds or 0)


# -- the frozen state --------------------------------------------------------------------------------------------------


def freeze(details: "PostgresDetails") -> bool:
    """Store the current state of the database as the template. False: open connections prevent the copy."""
    server = Databases.of(details)
    connection = server.connect()
    try:
        if not is_left_alone(connection, details.dbname, allowed=int(details.dbname == "postgres")):
            text = f"{_REMARK}its set-up left connections open, so no template could be kept; {CURE}"
            connection.run(f"COMMENT ON DATABASE template1 IS {literal(text)}")  # read by `base`, which reports it
            return False
        if details.dbname == "postgres":  # a connection to the source would block the copy
            connection.close()
            connection = server.connect(dbname="template1")
        server.clone(connection, TEMPLATE, details.dbname)
        connection.run(f"ALTER DATABASE {TEMPLATE} IS_TEMPLATE true ALLOW_CONNECTIONS false")
        return True
    finally:
        connection.close()


CURE = "close them in the set-up, for example with engine.dispose()"
