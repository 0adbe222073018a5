"""The connection that a process keeps from one database it makes to the next: a login takes a fifth of the time.

There is one at most, and only while a process finds nothing made ahead of it. Forked children have none.
"""

import atexit
import contextlib
import os
from collections.abc import Callable, Iterator

from servicectx.services.postgres.wire import Connection, Refused, literal

Login = tuple[object, ...]  # to which server, and as whom

NOBODY = "servicectx"

_kept: list[tuple[Login, Connection]] = []


@contextlib.contextmanager
def cached_connection(login: Login, name: str, connect: Callable[[], Connection]) -> Iterator[Connection]:
    """A connection that calls itself `name` for the block, and is kept if all goes well. `connect` makes a new one."""
    connection = _take(login, name) or connect()
    try:
        yield connection
        _call(connection, NOBODY)
    except BaseException:
        connection.close()
        raise
    close_cached()
    _kept.append((login, connection))


def close_cached() -> None:
    """Keep none."""
    with contextlib.suppress(IndexError):
        while True:
            _kept.pop()[1].close()


def _take(login: Login, name: str) -> Connection | None:
    try:
        kept, connection = _kept.pop()
    except IndexError:
        return None
    if kept == login:
        with contextlib.suppress(Refused, OSError, EOFError):  # somebody ended it
            _call(connection, name)
            return connection
    connection.close()
    return None


def _call(connection: Connection, name: str) -> None:
    connection.run(f"SET application_name = {literal(name)}")


atexit.register(close_cached)
os.register_at_fork(after_in_child=close_cached)
