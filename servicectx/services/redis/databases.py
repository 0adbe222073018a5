"""Separate logical databases on a shared Redis, taken and returned safely by many processes.

The owner of a database listens on its channel (`ownership`). A register, a hash in the server's last logical database,
records its state: the name of the last owner until the database was emptied, or a mark that it is kept. A FLUSHALL
removes the register together with all databases.
"""

import contextlib
import random
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.services.redis import ownership
from servicectx.services.redis.ownership import DatabaseReferences, connect
from servicectx.services.redis.wire import Connection, Refused
from servicectx.system.originals import time

if TYPE_CHECKING:
    from servicectx.services.redis.details import RedisDetails

DATABASES = 1024  # on servers started by servicectx
USUAL = 16  # the default of other servers

CONTENTION_TIME = 5.0  # seconds of retries while processes contend for the same databases

_REGISTER = "servicectx:databases"
_KEPT = "kept"
_LEFT = "left"  # its owner could not empty it


class RedisDatabases(Isolation["RedisDetails"]):
    """Logical databases as namespaces."""

    def create(self) -> "RedisDetails":
        return self.details.model_copy(update={"db": take(self.details)})

    def close(self, namespace: "RedisDetails") -> None:
        give_back(namespace, namespace.db)

    def keep(self, namespace: "RedisDetails") -> None:
        keep(namespace, namespace.db)


def take(details: "RedisDetails") -> int:
    """Take an empty logical database and return its number. Raises NotIsolable."""
    until = time.monotonic() + CONTENTION_TIME
    with _refusals(), ownership.of_this_process(details) as references, closing(connect(details)) as connection:
        references.renew()
        last = _select_last(connection)
        numbers = [number for number in range(1, last) if number != details.db]
        while True:
            contested = False
            marks = _read(connection, references)
            for number in _order(numbers, marks, ownership.held(connection)):
                if not references.claim(connection, number):
                    contested = True
                elif _is_ours_now(connection, references, number, last):
                    return number
            if not contested or time.monotonic() > until:
                raise NotIsolable(service="redis", reason=_why(connection, numbers, details.external))
            time.sleep(random.uniform(0, 0.005))


def give_back(details: "RedisDetails", number: int) -> None:
    """Empty and release a database, if this process owns it. Raises OSError."""
    with _refusals(OSError), ownership.of_this_process(details) as references:
        if number not in references.signed:
            return
        try:
            references.renew()
            with closing(connect(details)) as connection:
                last = _select_last(connection)
                if ownership.count(connection, number) > 1:
                    _leave(connection, references, number)
                    return
                connection.run("SELECT", number)
                connection.run("FLUSHDB", "ASYNC")
                connection.run("SELECT", last)
                connection.run("HDEL", _REGISTER, number)
        finally:
            references.release(number)


def keep(details: "RedisDetails", number: int) -> None:
    """Reserve a database until the whole server is emptied, even after its owner's death. Raises OSError."""
    with _refusals(OSError), ownership.of_this_process(details) as references, closing(connect(details)) as connection:
        _select_last(connection)
        connection.run("HSET", _REGISTER, number, _KEPT)
        references.release(number)


def _select_last(connection: Connection) -> int:
    """Select the last logical database, which holds the register, and return its number."""
    try:
        reply = connection.run("CONFIG", "GET", "databases")
    except Refused:  # hosted servers often refuse CONFIG
        reply = []
    last = (int(reply[1]) if reply else USUAL) - 1
    connection.run("SELECT", last)
    return last


def _read(connection: Connection, references: DatabaseReferences) -> dict[int, str]:
    """Read the register. Entries of this process are restored if the server was emptied meanwhile."""
    reply = connection.run("HGETALL", _REGISTER)
    marks = {int(number): mark for number, mark in zip(reply[::2], reply[1::2], strict=True)}
    for number, mark in references.signed.items():
        if marks.get(number) != mark:
            connection.run("HSET", _REGISTER, number, mark)
    return marks


def _order(numbers: list[int], marks: dict[int, str], held: set[int]) -> list[int]:
    """The free databases in the order to try: first databases of dead owners, so that they are emptied soon."""
    free = [number for number in numbers if number not in held]
    random.shuffle(free)
    return sorted(free, key=lambda number: number not in marks or _stays(marks[number]))


def _is_ours_now(connection: Connection, references: DatabaseReferences, number: int, last: int) -> bool:
    """Check a claimed database, and empty it. Whether this process may use it."""
    try:
        mark = connection.run("HGET", _REGISTER, number)
        if mark and _stays(mark):
            references.release(number)
            return False
        connection.run("SELECT", number)
        filled = connection.run("DBSIZE") > 0
        connection.run("SELECT", last)
        if filled and not mark:  # foreign data
            references.release(number)
            return False
        references.signed[number] = owner_names.new_name()
        connection.run("HSET", _REGISTER, number, references.signed[number])
        if filled:
            connection.run("SELECT", number)
            connection.run("FLUSHDB")
    except BaseException:
        references.release(number)
        raise
    return True


def _stays(mark: str) -> bool:
    """Whether a database without a listener is in use: kept, or the owner's connection was ended."""
    return mark == _KEPT or owner_names.owner_is_alive(mark)


def _leave(connection: Connection, references: DatabaseReferences, number: int) -> None:
    """Mark a database for its next owner to empty, because another process claims it or has it."""
    if connection.run("HGET", _REGISTER, number) == references.signed[number]:
        connection.run("HSET", _REGISTER, number, _LEFT)


def _why(connection: Connection, numbers: list[int], external: bool) -> str:
    """The reason why no database is free, and the cure."""
    if not numbers:
        return "this server has no further logical databases; set `databases 1024` in its redis.conf"
    held = len(ownership.held(connection).intersection(numbers))
    kept = connection.run("HVALS", _REGISTER).count(_KEPT)
    others = max(0, len(numbers) - held - kept)
    cure = "set `databases 1024` in its redis.conf" if external else 'use a second server: managed("redis", name=...)'
    return (
        f"none of its {len(numbers)} logical databases is free: {held} are in use, {kept} were kept, "
        f"{others} hold other data; leave or empty some of them, or {cure}"
    )


@contextlib.contextmanager
def _refusals(kind: type[OSError] | None = None) -> Iterator[None]:
    try:
        yield
    except Refused as refusal:
        if kind is not None:
            raise kind(str(refusal)) from None
        cure = "its user needs CONFIG, SELECT, DBSIZE, FLUSHDB, hashes, SUBSCRIBE and PUBSUB"
        raise NotIsolable(service="redis", reason=f"the server refused a command: {refusal}; {cure}") from None
