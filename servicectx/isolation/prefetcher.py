"""The helper of a keeper: keeps copies of namespaces ready ahead of demand, and removes what was given back.

It is a process of its own, begins with the first demand, ends when nobody has asked for a while, and is killed with
its keeper. It may be killed at any instant: what it had begun, and what users gave back, its successor removes.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from servicectx.isolation.pool import MISSED, RETURNED, CheckedOut, Pool, source_of
from servicectx.isolation.pool_sizer import IDLE, MOST_OF_ALL, PoolSizer
from servicectx.isolation.user_watcher import AGAIN, UserWatcher
from servicectx.keeper import probes
from servicectx.system import faults, linux
from servicectx.system.checkpoints import step

REST = 1.0  # seconds without work after which the connection is closed
ROOM = 256 * 2**20  # bytes of the file system that copies made ahead leave free


class PrefetchBackend(Protocol):
    """What a service gives: it makes and drops what is named, by its own protocol."""

    def begin(self) -> None:
        """End whatever a former helper was in the middle of."""

    def size(self, source: str) -> int:
        """Bytes that a copy takes."""

    def make(self, name: str, source: str) -> None: ...

    def remake(self, name: str, new: str, source: str) -> bool:
        """Make `new` out of `name`, a copy of `source` that nobody wants any more.

        False: there is no `new`, and `name` is still to be dropped.
        """

    def drop(self, name: str) -> None:
        """Also when its maker is in the middle of making it. No error where there is none."""

    def rest(self) -> None:
        """Close the connection; the next call opens it again."""

    def name(self) -> str:
        """A fresh one."""


class Prefetcher:
    """One pool, kept ahead of its users."""

    def __init__(self, pool: Pool, copies: PrefetchBackend, data: str, parent: int) -> None:
        self.parent = parent
        self.pool = pool
        self.copies = copies
        self.data = data
        self.demands = {source: PoolSizer(pool.count(source)) for source in pool.sources()}
        self.begun = False
        self.worked = 0.0
        self.sizes: dict[str, int] = {}
        self.pause = 0.0  # until when nothing at all is tried
        self.stuck: dict[str, float] = {}  # what was not to be dropped: until when it is not tried again

    def serve(self) -> None:
        """Until there is nothing to do and nobody to wait for, or the keeper is dead.

        Raises OSError or EOFError when the server is gone.
        """
        heard = self.pool.hear()
        watch = UserWatcher(self.pool, heard)
        self._listen(heard)  # first of all: what is heard by a helper that fails calls for no other one
        self.worked = time.monotonic()
        while os.getppid() == self.parent:
            try:
                if self._turn(heard, watch):
                    return
            except OSError as error:
                if not faults.is_shortage(error):
                    raise
                self.begun = False  # too few descriptors, say: they end for a moment what would end for good
                with contextlib.suppress(OSError):
                    self.copies.rest()
                time.sleep(AGAIN)

    def _turn(self, heard: int, watch: UserWatcher) -> bool:
        """Work once, or wait. True: there is nothing to do, and nobody to wait for."""
        self._listen(heard)
        if self._work():
            self.worked = time.monotonic()
            return False
        if not self.demands and not self.pool.users():
            return True
        if rested := time.monotonic() - self.worked > REST:
            self.copies.rest()
        watch.wait(AGAIN if self._refused() else IDLE if rested else REST)
        return False

    # -- work --------------------------------------------------------------------------------------------------------

    def _listen(self, heard: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for line in os.read(heard, 65536).decode(errors="replace").splitlines():
                kind, source = source_of(line)
                if kind != RETURNED:
                    self.demands.setdefault(source, PoolSizer(0)).ask(kind != MISSED, len(self.pool.users()))
        for source, demand in list(self.demands.items()):
            demand.shrink()
            if not demand.target and not self.pool.count(source):
                del self.demands[source]

    def _work(self) -> bool:
        """Making comes first, as somebody may be waiting, until what is given back piles up."""
        if not self._may_begin():
            return False
        if self.pool.is_piling_up():
            return self._clear() or self._make()
        return self._make() or self._clear()

    def _may_begin(self) -> bool:
        """Whether the server lets this helper work; in a moment it may."""
        if not self.begun and self.pause < time.monotonic():
            try:
                self.copies.begin()
                self.begun = True
            except (OSError, EOFError):
                raise
            except Exception:  # noqa: BLE001  # refused: it has no connection left, say
                self.pause = time.monotonic() + AGAIN
        return self.begun

    def _make(self) -> bool:
        """Whether one was made: of the source that has the fewest ready. What was given back is made anew first."""
        now = time.monotonic()
        counts = {source: self.pool.count(source) for source in self.demands}
        for source, demand in self.demands.items():
            demand.filled |= counts[source] >= demand.target
        wanted = [
            source for source, demand in self.demands.items() if counts[source] < demand.target and demand.pause < now
        ]
        if not wanted or sum(counts.values()) >= MOST_OF_ALL:
            return False
        source = min(wanted, key=lambda each: counts[each])
        for taken in self._returned():
            if taken.source == source:
                return self._remade(taken) or self._drop(taken)
            taken.release()
        if not self._has_room(source):
            return False
        taken = self.pool.begin_ahead(self.copies.name(), source)
        step("pool-making")
        try:
            self.copies.make(taken.name, source)
        except (OSError, EOFError):
            raise
        except Exception:  # noqa: BLE001  # refused, in whatever words; whoever asks next hears them, from a try of its own
            self.demands[source].pause = now + AGAIN
            self._drop(taken)
            return False
        step("pool-made")
        self.pool.publish(taken, source)
        return True

    def _clear(self) -> bool:
        """Whether one is out of the way: made anew or removed, ready and wanted no more, or in the way of users."""
        for taken in self._returned():
            if (self._is_welcome(taken.source) and self._remade(taken)) or self._drop(taken):
                return True
        for source, demand in self.demands.items():
            unwanted = self.pool.count(source) > demand.most or not self._has_room()
            if unwanted and (surplus := self.pool.claim(source)):
                return self._drop(surplus)
        return False

    def _returned(self) -> Iterator[CheckedOut]:
        """What was given back, but for what is not to be dropped just now."""
        for taken in self.pool.returned():
            if self.stuck.get(taken.name, 0.0) > time.monotonic():
                taken.release()
            else:
                yield taken

    def _is_welcome(self, source: str) -> bool:
        """Whether one more of it may be ready."""
        demand = self.demands.get(source)
        if demand is None or not demand.lasts or self.pool.count(source) >= demand.most or not self._has_room():
            return False
        return sum(map(self.pool.count, self.demands)) < MOST_OF_ALL

    def _remade(self, taken: CheckedOut) -> bool:
        """Whether a new one is ready that was made out of `taken`."""
        new = self.pool.begin_ahead(self.copies.name(), taken.source)
        step("pool-remaking")
        try:
            made = self.copies.remake(taken.name, new.name, taken.source)
        except (OSError, EOFError):
            raise
        except Exception:  # noqa: BLE001  # refused: the server is too busy, say
            self._drop(new)
            return False
        if made:
            self.pool.publish(new, taken.source)
            taken.forget()
        else:
            new.forget()
        return made

    def _drop(self, taken: CheckedOut) -> bool:
        step("pool-dropping")
        try:
            self.copies.drop(taken.name)
        except (OSError, EOFError):
            raise
        except Exception:  # noqa: BLE001  # refused: the server is too busy, say
            self.stuck[taken.name] = time.monotonic() + AGAIN
            taken.release()
            return False
        self.stuck.pop(taken.name, None)
        taken.forget()
        return True

    def _refused(self) -> bool:
        now = time.monotonic()
        pauses = [self.pause, *self.stuck.values(), *(demand.pause for demand in self.demands.values())]
        return not self.begun or any(pause > now for pause in pauses)

    def _has_room(self, source: str | None = None) -> bool:
        """Whether the file system has room for users, beside one more copy of `source`."""
        try:
            room = os.statvfs(self.data)
        except OSError:
            return True
        return room.f_bavail * room.f_frsize > ROOM + (self._size(source) if source else 0)

    def _size(self, source: str) -> int:
        if source not in self.sizes:
            try:
                self.sizes[source] = self.copies.size(source)
            except (OSError, EOFError):
                raise
            except Exception:  # noqa: BLE001  # refused; making it is going to tell
                return 0
        return self.sizes[source]


def main() -> None:
    """The order comes on standard input: who the keeper is, the pool's directory, and what makes the copies."""
    order = json.loads(sys.stdin.readline())
    linux.die_with(order["keeper"], signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        os.nice(5)  # whoever is at work comes first
    pool = Pool(Path(order["directory"]))
    helper = order["helper"]
    data = helper.get("data", "")
    copies: PrefetchBackend = probes.call(**helper)
    with contextlib.suppress(OSError, EOFError):  # the server is gone, or the instance: so is the need
        Prefetcher(pool, copies, data, order["keeper"]).serve()
