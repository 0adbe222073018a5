"""The connection that a process reuses for the databases that it creates: a login takes a fifth of the time.

There is at most one, and only while the prefetcher has no database ready. Forked children have none.
"""

import atexit
import contextlib
import os
from collections.abc import Callable, Iterator

from servicectx.services.postgres.wire import Connection, Refused, literal

Login = tuple[object, ...]  # server, user and options of a connection

IDLE = "servicectx"

_kept: list[tuple[Login, Connection]] = []


@contextlib.contextmanager
def cached_connection(login: Login, name: str, connect: Callable[[], Connection]) -> Iterator[Connection]:
    """A connection with the application name `name` for the block. It is cached unless the block raises."""
    connection = _take(login, name) or connect()
    try:
        yield connection
        _set_name(connection, IDLE)
    except BaseException:
        connection.close()
        raise
    close_cached()
    _kept.append((login, connection))


def close_cached() -> None:
    """Close the cached connection."""
    with contextlib.suppress(IndexError):
        while True:
            _kept.pop()[1].close()


def _take(login: Login, name: str) -> Connection | None:
    try:
        kept, connection = _kept.pop()
    except IndexError:
        return None
    if kept == login:
        with contextlib.suppress(Refused, OSError, EOFError):  # the cached connection was terminated
            _set_name(connection, name)
            return connection
    connection.close()
    return None


def _set_name(connection: Connection, name: str) -> None:
    connection.run(f"SET application_name = {literal(name)}")


atexit.register(close_cached)
os.register_at_fork(after_in_child=close_cached)
