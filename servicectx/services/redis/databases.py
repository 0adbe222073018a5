"""Logical databases of one's own on a shared Redis, taken and given back safely among processes.

Who has one listens on its channel (`redis_holds`). What is in it is told by a register, a hash in the server's last
logical database: the name of whoever took it last, until it was emptied, or that it is to stay. A FLUSHALL removes the
register along with all that it speaks of.
"""

import contextlib
import random
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.services.redis import ownership
from servicectx.services.redis.ownership import DatabaseReferences, connect
from servicectx.services.redis.wire import Connection, Refused
from servicectx.system.originals import time

if TYPE_CHECKING:
    from servicectx.services.redis.details import RedisDetails

DATABASES = 1024  # what our own servers have
USUAL = 16  # what others have, as a rule

PATIENCE = 5.0  # seconds for those who try to take the same one at the same moment

_REGISTER = "servicectx:databases"
_KEPT = "kept"
_LEFT = "left"  # by somebody who could not empty it


def take(details: "RedisDetails") -> int:
    """The number of an empty logical database that nobody else has. Raises NotIsolable."""
    until = time.monotonic() + PATIENCE
    with _refusals(), ownership.of_this_process(details) as hold, closing(connect(details)) as asking:
        hold.renew()
        last = _select_last(asking)
        numbers = [number for number in range(1, last) if number != details.db]
        while True:
            contested = False
            marks = _read(asking, hold)
            for number in _order(numbers, marks, ownership.held(asking)):
                if not hold.claim(asking, number):
                    contested = True
                elif _is_ours_now(asking, hold, number, last):
                    return number
            if not contested or time.monotonic() > until:
                raise NotIsolable(service="redis", reason=_why(asking, numbers, details.external))
            time.sleep(random.uniform(0, 0.005))


def give_back(details: "RedisDetails", number: int) -> None:
    """Empty it, and let others have it. Nothing happens when this process does not have it. Raises OSError."""
    with _refusals(OSError), ownership.of_this_process(details) as hold:
        if number not in hold.signed:
            return
        try:
            hold.renew()
            with closing(connect(details)) as asking:
                last = _select_last(asking)
                if ownership.count(asking, number) > 1:
                    _leave(asking, hold, number)
                    return
                asking.run("SELECT", number)
                asking.run("FLUSHDB", "ASYNC")
                asking.run("SELECT", last)
                asking.run("HDEL", _REGISTER, number)
        finally:
            hold.let_go(number)


def keep(details: "RedisDetails", number: int) -> None:
    """Let nobody take it, when its user is dead, too, until somebody empties the whole server. Raises OSError."""
    with _refusals(OSError), ownership.of_this_process(details) as hold, closing(connect(details)) as asking:
        _select_last(asking)
        asking.run("HSET", _REGISTER, number, _KEPT)
        hold.let_go(number)


def _select_last(asking: Connection) -> int:
    """The number of the last logical database, where the register is."""
    try:
        said = asking.run("CONFIG", "GET", "databases")
    except Refused:  # by those who rent servers out
        said = []
    last = (int(said[1]) if said else USUAL) - 1
    asking.run("SELECT", last)
    return last


def _read(asking: Connection, hold: DatabaseReferences) -> dict[int, str]:
    """The register. What it should say of this process and does not, because somebody has emptied it, is set right."""
    said = asking.run("HGETALL", _REGISTER)
    marks = {int(number): mark for number, mark in zip(said[::2], said[1::2], strict=True)}
    for number, mark in hold.signed.items():
        if marks.get(number) != mark:
            asking.run("HSET", _REGISTER, number, mark)
    return marks


def _order(numbers: list[int], marks: dict[int, str], held: set[int]) -> list[int]:
    """Those that nobody has, in the order in which to try them: first what the dead left, so that it goes soon."""
    free = [number for number in numbers if number not in held]
    random.shuffle(free)
    return sorted(free, key=lambda number: number not in marks or _stays(marks[number]))


def _is_ours_now(asking: Connection, hold: DatabaseReferences, number: int, last: int) -> bool:
    """Whether this process may have what it has claimed. If so it is empty now."""
    try:
        mark = asking.run("HGET", _REGISTER, number)
        if mark and _stays(mark):
            hold.let_go(number)
            return False
        asking.run("SELECT", number)
        filled = asking.run("DBSIZE") > 0
        asking.run("SELECT", last)
        if filled and not mark:  # what somebody put there who does not know of us
            hold.let_go(number)
            return False
        hold.signed[number] = owner_names.new_name()
        asking.run("HSET", _REGISTER, number, hold.signed[number])
        if filled:
            asking.run("SELECT", number)
            asking.run("FLUSHDB")
    except BaseException:
        hold.let_go(number)
        raise
    return True


def _stays(mark: str) -> bool:
    """Whether it is in use although nobody listens: kept, or its user's connection was ended by somebody."""
    return mark == _KEPT or owner_names.owner_is_alive(mark)


def _leave(asking: Connection, hold: DatabaseReferences, number: int) -> None:
    """Somebody else claims it or has it: its next user is to empty it."""
    if asking.run("HGET", _REGISTER, number) == hold.signed[number]:
        asking.run("HSET", _REGISTER, number, _LEFT)


def _why(asking: Connection, numbers: list[int], external: bool) -> str:
    """Why none was to be had, and what to do about it."""
    if not numbers:
        return "this server has no logical databases to spare; let its redis.conf say `databases 1024`"
    held = len(ownership.held(asking).intersection(numbers))
    kept = asking.run("HVALS", _REGISTER).count(_KEPT)
    others = max(0, len(numbers) - held - kept)
    more = "let its redis.conf say `databases 1024`" if external else 'use a second server: managed("redis", name=...)'
    return (
        f"none of its {len(numbers)} logical databases is free: {held} are in use, {kept} were kept, "
        f"{others} hold what is not of isolated(); leave or empty some of them, or {more}"
    )


@contextlib.contextmanager
def _refusals(kind: type[OSError] | None = None) -> Iterator[None]:
    try:
        yield
    except Refused as refusal:
        if kind is not None:
            raise kind(str(refusal)) from None
        cure = "its user needs CONFIG, SELECT, DBSIZE, FLUSHDB, hashes, SUBSCRIBE and PUBSUB"
        raise NotIsolable(service="redis", reason=f"the server refuses it: {refusal}; {cure}") from None
