"""The events that a keeper waits for while its server runs."""

import enum
import select
from typing import TYPE_CHECKING

from servicectx.keeper.restart_inbox import RestartInbox
from servicectx.keeper.unused import UnusedWaiter
from servicectx.state.instance import Instance
from servicectx.system.reserve import Reserve

if TYPE_CHECKING:
    from servicectx.keeper.prefetcher_process import PrefetcherProcess
    from servicectx.keeper.server import Server


class Event(enum.Enum):
    """The end of a wait: no lease is held, the server ended, or a user requested a restart."""

    UNUSED, ENDED, RESTART = range(3)


class EventWaiter:
    """Waits for events, and for the linger time. Meanwhile it looks after the prefetcher, if there is one.

    `inbox` has the requests for a restart.
    """

    def __init__(self, instance: Instance, id: str, reserve: Reserve, prefetcher: "PrefetcherProcess | None") -> None:
        self._instance = instance
        self._id = id
        self._prefetcher = prefetcher
        self._unused = UnusedWaiter(instance, id, reserve)
        self.inbox = RestartInbox(instance, id)

    def wait(self, server: "Server") -> Event:
        """Wait for the next event."""
        waiter, inbox = self._unused, self.inbox
        waiter.begin()
        descriptor = server.descriptor()
        while True:
            poller = select.poll()
            poller.register(waiter.descriptor, select.POLLIN)
            poller.register(inbox.descriptor, select.POLLIN)
            for prefetcher_descriptor in self._prefetcher.descriptors() if self._prefetcher is not None else ():
                poller.register(prefetcher_descriptor, select.POLLIN)
            if descriptor is not None:
                poller.register(descriptor, select.POLLIN)
            poller.poll(self._poll_time(descriptor))
            if server.exit_status is not None:
                return Event.ENDED
            if inbox.is_woken():
                return Event.RESTART
            if waiter.is_unused():
                return Event.UNUSED
            if self._prefetcher is not None:
                self._prefetcher.look()

    def _poll_time(self, descriptor: int | None) -> int | None:
        """The poll timeout in milliseconds; None where every event has a descriptor."""
        if descriptor is None or self._unused.polls:
            return 50
        return 500 if self._prefetcher is not None and self._prefetcher.is_paused() else None

    def lingered(self, server: "Server") -> bool:
        """Whether no user joined or left during the whole linger time."""
        left = self._instance.linger(self._id)
        traffic = self._instance.traffic(self._id)
        while left > 0:
            pause = min(left, 1.0)
            if server.wait(pause) or self._instance.is_used(self._id):
                return False
            left -= pause
            if self._prefetcher is not None:
                self._prefetcher.look()
            if traffic != (now := self._instance.traffic(self._id)):
                traffic, left = now, self._instance.linger(self._id)
        return True
