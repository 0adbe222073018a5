"""Logical databases of one's own on a shared Redis, taken and given back safely among processes.

Who has which is kept in the server's last logical database, so that no FLUSHDB of a user touches it.
"""

import random
from contextlib import closing
from typing import TYPE_CHECKING

from servicectx.errors import NotIsolable
from servicectx.namespaces import makers
from servicectx.protocols.redis import Connection

if TYPE_CHECKING:
    from servicectx.details.redis import RedisDetails

DATABASES = 1024  # what our own servers have; one from outside has 16, as a rule

_TAKE_FROM_DEAD = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('set', KEYS[1], ARGV[2]) return 1 end"


def take(details: "RedisDetails") -> int:
    """The number of an empty logical database that nobody else has."""
    me = makers.sign()
    with closing(_connect(details)) as connection:
        last = int(connection.run("CONFIG", "GET", "databases")[1]) - 1
        connection.run("SELECT", last)
        numbers = [number for number in range(1, last) if number != details.db]
        random.shuffle(numbers)
        for number in numbers:
            key = _key(number)
            if connection.run("SET", key, me, "NX") is None:
                owner = connection.run("GET", key) or ""
                if not makers.is_dead(owner) or not connection.run("EVAL", _TAKE_FROM_DEAD, 1, key, owner, me):
                    continue
            connection.run("SELECT", number)
            connection.run("FLUSHDB")
            return number
    raise NotIsolable(service="redis", reason=f"all of its {last - 1} logical databases are taken")


def give_back(details: "RedisDetails", number: int) -> None:
    """Empty it, and let others have it."""
    with closing(_connect(details)) as connection:
        last = int(connection.run("CONFIG", "GET", "databases")[1]) - 1
        connection.run("SELECT", number)
        connection.run("FLUSHDB", "ASYNC")
        connection.run("SELECT", last)
        connection.run("DEL", _key(number))


def keep(details: "RedisDetails", number: int) -> None:
    """Let nobody take it, when its user is dead, too."""
    with closing(_connect(details)) as connection:
        last = int(connection.run("CONFIG", "GET", "databases")[1]) - 1
        connection.run("SELECT", last)
        connection.run("SET", _key(number), "kept")


def _connect(details: "RedisDetails") -> Connection:
    return Connection(details.host, details.port, details.password)


def _key(number: int) -> str:
    return f"servicectx:database:{number}"
