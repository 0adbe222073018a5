"""Databases go at once, whoever is in them."""

from typing import Any

from servicectx.services.postgres.attributes import DENIED
from servicectx.services.postgres.wire import Connection, Refused, literal, quoted
from servicectx.system.originals import time

PARTING = 1.0  # seconds for connections that were closed, or ended, to be gone


def drop(connection: Connection, name: str) -> None:
    """End whoever makes or uses it and see them gone first: DROP would look only every 100 ms whether they are."""
    of_it = f"{literal(name)} IN (datname, application_name)"
    end_clients(connection, f"{of_it} AND pid <> pg_backend_pid()")  # this may be its maker, who gives up
    if connection.run(f"SELECT 1 FROM pg_database WHERE datname = {literal(name)} AND datistemplate"):
        connection.run(f"ALTER DATABASE {quoted(name)} IS_TEMPLATE false")
    statement = f"DROP DATABASE IF EXISTS {quoted(name)}"
    try:
        connection.run(f"{statement} WITH (FORCE)")
    except Refused as refusal:  # a user who may not end the server's own workers leaves that to the server
        if refusal.code != DENIED or not is_left_alone(connection, name):
            raise
        connection.run(statement)


def end_clients(connection: Connection, which: str) -> None:
    """End those that this user may end, and not the server's own workers, which have no user."""
    where = f"({which}) AND pg_has_role(usesysid, 'USAGE')"
    _until_none(connection, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}")


def end_all(connection: Connection, oid: str) -> bool:
    """End whoever is in a database, the server's own workers, too. Whether somebody is left.

    A fifth of what the view `pg_stat_activity` costs, which joins this with the names.
    """
    inside = f"SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity(NULL) WHERE datid = {oid}"
    return bool(_until_none(connection, inside))


def is_left_alone(connection: Connection, name: str, but: int = 0) -> bool:
    """Whether all but so many connections to a database are closed, or will be in a moment."""
    users = f"SELECT pid FROM pg_stat_activity WHERE datname = {literal(name)} AND usesysid IS NOT NULL"
    return len(_until_none(connection, users, but)) <= but


def _until_none(connection: Connection, sql: str, but: int = 0) -> list[Any]:
    until = time.monotonic() + PARTING
    while len(rows := connection.run(sql)) > but and time.monotonic() < until:
        time.sleep(0.001)
    return rows
