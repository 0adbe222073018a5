"""Who uses a pool, and the instant at which one of them dies."""

import os
import select

from servicectx.isolation.pool import Pool
from servicectx.system import platform

AGAIN = 0.5  # seconds to the next look where no event tells


class UserWatcher:
    """Waits for words, and for deaths."""

    def __init__(self, pool: Pool, heard: int) -> None:
        self.pool = pool
        self._heard = heard
        self._watched: dict[int, int] = {}  # process: its pidfd
        self._unseen: set[int] = set()  # processes whose end no event tells

    def wait(self, seconds: float) -> None:
        """Until somebody says something or dies, at most so long."""
        self._look()
        poller = select.poll()
        for descriptor in (self._heard, *self._watched.values()):
            poller.register(descriptor, select.POLLIN)
        if self._unseen:
            seconds = min(seconds, AGAIN)
        ended = {descriptor for descriptor, _ in poller.poll(seconds * 1000)}
        for pid, descriptor in list(self._watched.items()):
            if descriptor in ended:
                os.close(self._watched.pop(pid))
                self._unseen.add(pid)  # should a child of it still have the lock, nothing else would tell

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
