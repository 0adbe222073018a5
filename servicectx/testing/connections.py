"""Connections of SQLAlchemy during a migration: to one database only."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

from servicectx.testing.targets import Target


@contextlib.contextmanager
def only_to(wanted: list[Target]) -> Iterator[None]:
    """For the block, let this thread connect to that database only, and run statements on such connections only.

    Raises RuntimeError before another database is reached, also if the error was caught in the block, and for a block
    without a connection.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    guard = _Guard(wanted)
    listeners: dict[str, Any] = {"do_connect": guard.connect, "before_cursor_execute": guard.execute}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield
        if guard.problem or not guard.opened:
            guard.refuse(guard.problem or "makes no connection")
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)


class _Guard:
    def __init__(self, wanted: list[Target]) -> None:
        self.opened: list[Any] = []
        self.problem: str | None = None
        self._wanted = wanted
        self._thread = threading.get_ident()

    def connect(self, dialect: Any, _record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
        """Open the connection, or refuse it. SQLAlchemy opens connections of other threads itself."""
        if threading.get_ident() != self._thread:
            return None
        found = _target(parameters)
        if not any(found.equals(target) for target in self._wanted):
            self.refuse(f"connects to {found}")
        self.opened.append(dialect.connect(*arguments, **parameters))
        return self.opened[-1]

    def execute(self, connection: Any, *_: Any) -> None:
        """Refuse a connection that was opened before, or by the `creator` of an engine."""
        raw = connection.connection.dbapi_connection
        if threading.get_ident() == self._thread and not any(raw is opened for opened in self.opened):
            self.refuse("uses a connection with an unknown target")

    def refuse(self, problem: str) -> NoReturn:
        self.problem = problem
        raise RuntimeError(
            f"nothing was migrated: env.py of Alembic {problem}, and this instance is {self._wanted[0]}; "
            "let env.py connect to the option sqlalchemy.url of the configuration"
        )


def _target(parameters: dict[str, Any]) -> Target:
    """The database in the arguments of a driver's `connect`; each driver has its own words for it."""
    host = parameters.get("unix_socket") or parameters.get("host") or ""
    name = next((parameters[word] for word in ("dbname", "database", "db") if parameters.get(word)), "")
    return Target(str(host), str(parameters.get("port", "")), str(name))
