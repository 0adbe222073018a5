"""The owners of the logical databases of a Redis: each owner listens on the database's channel.

Neither FLUSHALL nor the setting `timeout` ends a subscription, and the server notices a dead listener at once. A
process has one such connection to a server, as long as it owns a database there.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from servicectx.services.redis.wire import Connection, Refused

if TYPE_CHECKING:
    from servicectx.services.redis.details import RedisDetails

CHANNEL = "servicectx:database:"


class DatabaseReferences:
    """The databases that this process owns on one server."""

    def __init__(self, details: "RedisDetails") -> None:
        self._details = details
        self._session: Connection | None = None
        self.signed: dict[int, str] = {}  # the owned databases, each with its owner name

    def renew(self) -> None:
        """Check the connection. If it was ended, connect and listen again."""
        if self._session is not None:
            try:
                self._send("SUBSCRIBE", next(iter(self.signed)))  # a repeated command has no effect but an answer
                return
            except (OSError, EOFError):
                self.close()
        self._session = connect(self._details)
        for number in self.signed:
            self._send("SUBSCRIBE", number)

    def claim(self, connection: Connection, number: int) -> bool:
        """Take a free database until `release`. Whether this process owns it now.

        Of two simultaneous claims the later sees the earlier, so at most one succeeds; sometimes neither does.
        """
        if number in self.signed:
            return False
        try:
            self._send("SUBSCRIBE", number)
            if count(connection, number) == 1:
                return True
        except BaseException:
            self.release(number)
            raise
        self.release(number)
        return False

    def release(self, number: int) -> None:
        """Stop listening. Never raises: a dead connection is closed, which releases all of its databases."""
        self.signed.pop(number, None)
        try:
            self._send("UNSUBSCRIBE", number)
        except (Refused, OSError, EOFError):
            self.close()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _send(self, command: str, number: int) -> None:
        """Run a command and wait for its reply. Published messages are skipped."""
        if self._session is None:
            raise EOFError("the connection is closed")
        answer = self._session.run(command, channel(number))
        while answer[:2] != [command.lower(), channel(number)]:
            answer = self._session.answer()


def channel(number: int) -> str:
    return f"{CHANNEL}{number}"


def held(connection: Connection) -> set[int]:
    """The databases with an owner."""
    names = connection.run("PUBSUB", "CHANNELS", f"{CHANNEL}*")
    return {int(number) for name in names if (number := name.removeprefix(CHANNEL)).isdigit()}


def count(connection: Connection, number: int) -> int:
    """The number of connections that listen on a database's channel."""
    return int(connection.run("PUBSUB", "NUMSUB", channel(number))[1])


def connect(details: "RedisDetails") -> Connection:
    return Connection(details.host, details.port, details.user, details.password)


_references: dict[tuple[str, int, str, str], DatabaseReferences] = {}
_busy = threading.Lock()


@contextlib.contextmanager
def of_this_process(details: "RedisDetails") -> Iterator[DatabaseReferences]:
    """This process's databases on that server, for one thread at a time. The connection ends with the last database."""
    login = details.host, details.port, details.user, details.password
    with _busy:
        references = _references.setdefault(login, DatabaseReferences(details))
        try:
            yield references
        finally:
            if not references.signed:
                _references.pop(login).close()


def _close_in_child() -> None:
    """Close the copies of the parent's connections, which would own its databases after its death."""
    for references in _references.values():
        references.close()
    _references.clear()
    _busy.release()


# The lock is held during a fork, so that no thread is in a critical section.
os.register_at_fork(before=_busy.acquire, after_in_parent=_busy.release, after_in_child=_close_in_child)
