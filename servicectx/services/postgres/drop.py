"""Drop databases at once, with their connections."""

from typing import Any

from servicectx.services.postgres.attributes import DENIED
from servicectx.services.postgres.wire import Connection, Refused, literal, quoted
from servicectx.system.originals import time

PARTING = 1.0  # seconds for closed or terminated connections to end


def drop(connection: Connection, name: str) -> None:
    """Drop a database. Its creator and clients are ended first: DROP checks only every 100 ms whether they are gone."""
    its_sessions = f"{literal(name)} IN (datname, application_name)"
    end_clients(connection, f"{its_sessions} AND pid <> pg_backend_pid()")  # this session may be its creator
    if connection.run(f"SELECT 1 FROM pg_database WHERE datname = {literal(name)} AND datistemplate"):
        connection.run(f"ALTER DATABASE {quoted(name)} IS_TEMPLATE false")
    statement = f"DROP DATABASE IF EXISTS {quoted(name)}"
    try:
        connection.run(f"{statement} WITH (FORCE)")
    except Refused as refusal:  # the user may not end the server's own workers; the server does so itself
        if refusal.code != DENIED or not is_left_alone(connection, name):
            raise
        connection.run(statement)


def end_clients(connection: Connection, condition: str) -> None:
    """End the sessions that match and that this user may end. The server's own workers have no user and stay."""
    where = f"({condition}) AND pg_has_role(usesysid, 'USAGE')"
    _until_none(connection, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}")


def end_all(connection: Connection, oid: str) -> bool:
    """End all sessions of a database, including the server's own workers. Whether a session is left.

    This costs a fifth of the view `pg_stat_activity`, which joins the names.
    """
    inside = f"SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity(NULL) WHERE datid = {oid}"
    return bool(_until_none(connection, inside))


def is_left_alone(connection: Connection, name: str, allowed: int = 0) -> bool:
    """Whether at most `allowed` connections to a database remain after PARTING."""
    users = f"SELECT pid FROM pg_stat_activity WHERE datname = {literal(name)} AND usesysid IS NOT NULL"
    return len(_until_none(connection, users, allowed)) <= allowed


def _until_none(connection: Connection, sql: str, allowed: int = 0) -> list[Any]:
    until = time.monotonic() + PARTING
    while len(rows := connection.run(sql)) > allowed and time.monotonic() < until:
        time.sleep(0.001)
    return rows
