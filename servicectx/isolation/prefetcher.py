"""The prefetcher of a keeper: keep copies of namespaces ready ahead of demand, and remove returned ones.

The prefetcher is a separate process. It starts with the first demand, ends after a time without demand, and is killed
with its keeper. It may be killed at any moment: its successor removes its unfinished work and returned namespaces.
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
ROOM = 256 * 2**20  # bytes of the file system that prefetched copies leave free


class PrefetchBackend(Protocol):
    """The interface of a service: create and drop namespaces by name, by the service's own protocol."""

    def begin(self) -> None:
        """End the unfinished work of a former prefetcher."""

    def size(self, source: str) -> int:
        """The bytes that a copy takes."""

    def create(self, name: str, source: str) -> None: ...

    def recycle(self, name: str, new: str, source: str) -> bool:
        """Make `new` out of `name`, a returned copy of `source`.

        False: `new` was not made, and `name` must still be dropped.
        """

    def drop(self, name: str) -> None:
        """Drop `name`, even while it is being made. A missing one is not an error."""

    def disconnect(self) -> None:
        """Close the connection; the next call opens it again."""

    def new_name(self) -> str:
        """Make a new name."""


class Prefetcher:
    """The work of the prefetcher for one pool."""

    def __init__(self, pool: Pool, backend: PrefetchBackend, data: str, parent: int) -> None:
        self.parent = parent
        self.pool = pool
        self.backend = backend
        self.data = data
        self.demands = {source: PoolSizer(pool.count(source)) for source in pool.sources()}
        self.begun = False
        self.worked = 0.0
        self.sizes: dict[str, int] = {}
        self.pause = 0.0  # the time before which the server is not contacted
        self.stuck: dict[str, float] = {}  # names that could not be dropped: the time of the next attempt

    def serve(self) -> None:
        """Work until there is no demand and no user left, or the keeper is dead.

        Raises OSError or EOFError when the server is gone.
        """
        events = self.pool.open_events()
        watch = UserWatcher(self.pool, events)
        self._listen(events)  # before any failure: unread events would start another prefetcher
        self.worked = time.monotonic()
        while os.getppid() == self.parent:
            try:
                if self._turn(events, watch):
                    return
            except OSError as error:
                if not faults.is_shortage(error):
                    raise
                self.begun = False  # a passing shortage, for example of descriptors
                with contextlib.suppress(OSError):
                    self.backend.disconnect()
                time.sleep(AGAIN)

    def _turn(self, events: int, watch: UserWatcher) -> bool:
        """Work once, or wait. True: there is no demand and no user left."""
        self._listen(events)
        if self._work():
            self.worked = time.monotonic()
            return False
        if not self.demands and not self.pool.users():
            return True
        if rested := time.monotonic() - self.worked > REST:
            self.backend.disconnect()
        watch.wait(AGAIN if self._refused() else IDLE if rested else REST)
        return False

    # -- work --------------------------------------------------------------------------------------------------------

    def _listen(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for line in os.read(events, 65536).decode(errors="replace").splitlines():
                kind, source = source_of(line)
                if kind != RETURNED:
                    self.demands.setdefault(source, PoolSizer(0)).ask(kind != MISSED, len(self.pool.users()))
        for source, demand in list(self.demands.items()):
            demand.shrink()
            if not demand.target and not self.pool.count(source):
                del self.demands[source]

    def _work(self) -> bool:
        """Create or remove one namespace. Creation comes first, as a user may wait, except with a backlog."""
        if not self._may_begin():
            return False
        if self.pool.is_piling_up():
            return self._clear() or self._create()
        return self._create() or self._clear()

    def _may_begin(self) -> bool:
        """Whether the server accepts the prefetcher; after a refusal the next attempt follows soon."""
        if not self.begun and self.pause < time.monotonic():
            try:
                self.backend.begin()
                self.begun = True
            except (OSError, EOFError):
                raise
            except Exception:  # noqa: BLE001  # refused, for example without a free connection
                self.pause = time.monotonic() + AGAIN
        return self.begun

    def _create(self) -> bool:
        """Prepare one namespace of the source with the fewest ready ones; recycle a returned one first.

        True: the prefetcher did some work.
        """
        now = time.monotonic()
        counts = {source: self.pool.count(source) for source in self.demands}
        for source, demand in self.demands.items():
            demand.filled |= counts[source] >= demand.target
        short = [
            source for source, demand in self.demands.items() if counts[source] < demand.target and demand.pause < now
        ]
        if not short or sum(counts.values()) >= MOST_OF_ALL:
            return False
        source = min(short, key=lambda candidate: counts[candidate])
        for taken in self._returned():
            if taken.source == source:
                return self._recycle(taken) or self._drop(taken)
            taken.release()
        if not self._has_room(source):
            return False
        taken = self.pool.begin_ahead(self.backend.new_name(), source)
        step("pool-making")
        try:
            self.backend.create(taken.name, source)
        except (OSError, EOFError):
            raise
        except Exception:  # noqa: BLE001  # refused: the next user gets the error from its own attempt
            self.demands[source].pause = now + AGAIN
            self._drop(taken)
            return False
        step("pool-made")
        self.pool.publish(taken, source)
        return True

    def _clear(self) -> bool:
        """Recycle or remove one returned namespace, or remove a surplus one. True: one was recycled or removed."""
        for taken in self._returned():
            if (self._is_welcome(taken.source) and self._recycle(taken)) or self._drop(taken):
                return True
        for source, demand in self.demands.items():
            has_surplus = self.pool.count(source) > demand.most or not self._has_room()
            if has_surplus and (surplus := self.pool.claim(source)):
                return self._drop(surplus)
        return False

    def _returned(self) -> Iterator[CheckedOut]:
        """Take the returned namespaces, except the ones that could not be dropped a moment ago."""
        for taken in self.pool.returned():
            if self.stuck.get(taken.name, 0.0) > time.monotonic():
                taken.release()
            else:
                yield taken

    def _is_welcome(self, source: str) -> bool:
        """Whether one more ready namespace of `source` is useful."""
        demand = self.demands.get(source)
        if demand is None or not demand.lasts or self.pool.count(source) >= demand.most or not self._has_room():
            return False
        return sum(map(self.pool.count, self.demands)) < MOST_OF_ALL

    def _recycle(self, taken: CheckedOut) -> bool:
        """Recycle `taken` into a new, ready namespace. False: that was not possible."""
        new = self.pool.begin_ahead(self.backend.new_name(), taken.source)
        step("pool-recycling")
        try:
            recycled = self.backend.recycle(taken.name, new.name, taken.source)
        except (OSError, EOFError):
            raise
        except Exception:  # noqa: BLE001  # refused, for example by a busy server
            self._drop(new)
            return False
        if recycled:
            self.pool.publish(new, taken.source)
            taken.discard()
        else:
            new.discard()
        return recycled

    def _drop(self, taken: CheckedOut) -> bool:
        step("pool-dropping")
        try:
            self.backend.drop(taken.name)
        except (OSError, EOFError):
            raise
        except Exception:  # noqa: BLE001  # refused, for example by a busy server
            self.stuck[taken.name] = time.monotonic() + AGAIN
            taken.release()
            return False
        self.stuck.pop(taken.name, None)
        taken.discard()
        return True

    def _refused(self) -> bool:
        now = time.monotonic()
        pauses = [self.pause, *self.stuck.values(), *(demand.pause for demand in self.demands.values())]
        return not self.begun or any(pause > now for pause in pauses)

    def _has_room(self, source: str | None = None) -> bool:
        """Whether the file system has room for users, after one more copy of `source`."""
        try:
            room = os.statvfs(self.data)
        except OSError:
            return True
        return room.f_bavail * room.f_frsize > ROOM + (self._size(source) if source else 0)

    def _size(self, source: str) -> int:
        if source not in self.sizes:
            try:
                self.sizes[source] = self.backend.size(source)
            except (OSError, EOFError):
                raise
            except Exception:  # noqa: BLE001  # refused; the creation reports the error
                return 0
        return self.sizes[source]


def main() -> None:
    """Read the command from standard input: the keeper's id, the pool's directory, the backend. Then serve the pool."""
    command = json.loads(sys.stdin.readline())
    linux.die_with(command["keeper"], signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        os.nice(5)  # users have priority
    pool = Pool(Path(command["directory"]))
    call = command["backend"]
    data = call.get("data", "")
    backend: PrefetchBackend = probes.call(**call)
    with contextlib.suppress(OSError, EOFError):  # the server or the instance is gone
        Prefetcher(pool, backend, data, command["keeper"]).serve()
