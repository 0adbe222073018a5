"""The users of a pool, and the moment of a user's death."""

import os
import select

from servicectx.isolation.pool import Pool
from servicectx.system import platform

AGAIN = 0.5  # seconds between checks for events without a descriptor


class UserWatcher:
    """Wait for events in the FIFO and for deaths of users."""

    def __init__(self, pool: Pool, events: int) -> None:
        self.pool = pool
        self._events = events
        self._watched: dict[int, int] = {}  # process: its pidfd
        self._unseen: set[int] = set()  # processes without a pidfd: their end makes no event

    def wait(self, seconds: float) -> None:
        """Wait for an event or the death of a user, at most `seconds`."""
        self._look()
        poller = select.poll()
        for descriptor in (self._events, *self._watched.values()):
            poller.register(descriptor, select.POLLIN)
        if self._unseen:
            seconds = min(seconds, AGAIN)
        ended = {descriptor for descriptor, _ in poller.poll(seconds * 1000)}
        for pid, descriptor in list(self._watched.items()):
            if descriptor in ended:
                os.close(self._watched.pop(pid))
                self._unseen.add(pid)  # a child of the dead process may still hold the lock, and its end makes no event

    def _look(self) -> None:
        users = self.pool.users()
        self._unseen &= users
        for pid in self._watched.keys() - users:
            os.close(self._watched.pop(pid))
        for pid in users - self._watched.keys() - self._unseen:
            if (descriptor := platform.pidfd_open(pid)) is None:
                self._unseen.add(pid)
            else:
                self._watched[pid] = descriptor
