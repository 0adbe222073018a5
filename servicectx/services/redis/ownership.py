"""Who has which logical database of a Redis: whoever listens on its channel.

No FLUSHALL ends that, nor does the setting `timeout`, and the server knows at once when a listener is dead. A process
has one such connection to a server, for as long as it has a database there.
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
    """What this process has on one server."""

    def __init__(self, details: "RedisDetails") -> None:
        self._details = details
        self._session: Connection | None = None
        self.signed: dict[int, str] = {}  # the databases that it has, and the name under which it has each

    def renew(self) -> None:
        """Listen, and listen again where somebody has ended the connection."""
        if self._session is not None:
            try:
                self._say("SUBSCRIBE", next(iter(self.signed)))  # once more changes nothing, and somebody must answer
                return
            except (OSError, EOFError):
                self.close()
        self._session = connect(self._details)
        for number in self.signed:
            self._say("SUBSCRIBE", number)

    def claim(self, asking: Connection, number: int) -> bool:
        """Whether it was nobody's, and is this process's now, until `let_go`.

        Of two who claim it at the same moment the later one sees the earlier, so that never both have it; at times
        neither has.
        """
        if number in self.signed:
            return False
        try:
            self._say("SUBSCRIBE", number)
            if count(asking, number) == 1:
                return True
        except BaseException:
            self.let_go(number)
            raise
        self.let_go(number)
        return False

    def let_go(self, number: int) -> None:
        """Never an error: with a connection that does not answer goes what it held."""
        self.signed.pop(number, None)
        try:
            self._say("UNSUBSCRIBE", number)
        except (Refused, OSError, EOFError):
            self.close()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _say(self, word: str, number: int) -> None:
        """Pass over what else is heard: anybody may publish something."""
        if self._session is None:
            raise EOFError("the connection is closed")
        answer = self._session.run(word, channel(number))
        while answer[:2] != [word.lower(), channel(number)]:
            answer = self._session.answer()


def channel(number: int) -> str:
    return f"{CHANNEL}{number}"


def held(asking: Connection) -> set[int]:
    """The databases that somebody has."""
    names = asking.run("PUBSUB", "CHANNELS", f"{CHANNEL}*")
    return {int(number) for name in names if (number := name.removeprefix(CHANNEL)).isdigit()}


def count(asking: Connection, number: int) -> int:
    """How many connections listen on its channel."""
    return int(asking.run("PUBSUB", "NUMSUB", channel(number))[1])


def connect(details: "RedisDetails") -> Connection:
    return Connection(details.host, details.port, details.password)


_holds: dict[tuple[str, int, str], DatabaseReferences] = {}
_busy = threading.Lock()


@contextlib.contextmanager
def of_this_process(details: "RedisDetails") -> Iterator[DatabaseReferences]:
    """What this process has on that server, for one thread at a time. The connection goes with the last database."""
    login = details.host, details.port, details.password
    with _busy:
        hold = _holds.setdefault(login, DatabaseReferences(details))
        try:
            yield hold
        finally:
            if not hold.signed:
                _holds.pop(login).close()


def _let_go_in_child() -> None:
    """The connections are the parent's; the copies here would hold its databases after its death."""
    for hold in _holds.values():
        hold.close()
    _holds.clear()
    _busy.release()


# Nobody is in the middle of anything when this process is forked.
os.register_at_fork(before=_busy.acquire, after_in_parent=_busy.release, after_in_child=_let_go_in_child)
