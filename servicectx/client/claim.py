"""One process's claim on an instance that is there, and the ticket that lets another process claim it too."""

import logging
import os
from pathlib import Path
from types import TracebackType

from servicectx.client import keeper_link
from servicectx.errors import HomeError, ServiceDied
from servicectx.state import keep_record
from servicectx.state.instance import Instance
from servicectx.state.leases import Lease
from servicectx.state.record import READY, Processes, State, StateError
from servicectx.system import processes as pids
from servicectx.system.checkpoints import step
from servicectx.system.originals import json
from servicectx.system.real_files import RealFiles

log = logging.getLogger("servicectx")

PING_TIME = 5.0  # seconds for whoever holds the key's lock
LEAVE_TIME = 30.0


class Claim:
    """A lease on an instance that is there. It belongs to the process that took it; `leave()` gives it back."""

    def __init__(self, instance: Instance, state: State, lease: Lease) -> None:
        self.instance = instance
        self.state = state
        self.lease = lease

    def leave(self) -> None:
        """Drop the lease. The last one out waits until server, keeper, data and port are gone, if nothing lingers."""
        try:
            step("leaving")
            # Read now: in a moment all of it may be gone.
            processes, kept = self.instance.processes(self.state.id), self._keeps_data()
        finally:
            self.lease.release()
        step("left")
        try:
            self._see_it_gone(processes, keeper_link.KEEP_GRACE if kept else LEAVE_TIME)
        except (OSError, HomeError, ImportError) as error:  # Python itself may be out of reach
            log.info("the end of %s cannot be watched from here, its keeper sees to it: %s", self.state.name, error)
        if kept and self.instance.made_data(self.state):
            log.warning("%s", keep_record.advice(self.state.name, self.state.data_directory or ""))

    def _keeps_data(self) -> bool:
        """Whether the data stay. False as well where this process may not look any more."""
        try:
            return self.instance.keeps_data(self.state.id)
        except OSError:
            return False

    def _see_it_gone(self, processes: Processes | None, wait: float) -> None:
        """Wait for the end of an instance that nobody uses any more.

        Raises OSError, HomeError where this process may not look: it gave up its rights, or the home changed.
        """
        id = self.state.id
        if self.instance.is_used(id) or self.instance.linger(id) > 0:
            return
        if not keeper_link.wait_gone(self.instance, id, processes, wait) and not self.instance.is_used(id):
            self._clear_after_the_dead()

    def _clear_after_the_dead(self) -> None:
        with self.instance.locked(PING_TIME) as locked:  # keeper and guard were both killed
            now = keeper_link.current(self.instance) if locked else None
            if now is None or keeper_link.runs_elsewhere(self.instance, now):
                return
            if now.id == self.state.id and not self.instance.is_used(now.id):
                keeper_link.clear(self.instance, now)

    def alive(self) -> bool:
        """Whether the instance still serves."""
        if not self._may_look():
            return keeper_link.responds(self.state, 2.0)
        state = self._look()
        return state is not None and state.id == self.state.id and keeper_link.answers(self.instance, state, 2.0)

    def _may_look(self) -> bool:
        """Whether this process may read the instance's files: false after it gave up root, say."""
        try:
            os.listdir(self.instance.directory(self.state.id))
        except PermissionError:
            return False
        except OSError:
            return True
        return True

    def _look(self) -> State | None:
        try:
            return self.instance.look()
        except StateError:
            return None  # under the lock somebody will recover it or start anew

    def ticket(self) -> str:
        """What `redeem` needs, as a text."""
        return self.ticket_for(self.instance, self.state)

    @staticmethod
    def ticket_for(instance: Instance, state: State) -> str:
        return json.dumps([str(instance.home), instance.key, state.id])


def redeem(ticket: str) -> Claim:
    """One more claim on the instance that a ticket names. Raises ServiceDied when it does not run any more."""
    home, key, id = json.loads(ticket)
    instance = Instance(Path(home), key)
    lease = instance.lease(id, pids.me().start)  # first claim, then look: its keeper does the reverse
    try:
        state = instance.look() if lease is not None else None
    except StateError:
        state = None
    if lease is not None and state is not None and state.id == id and state.phase == READY:
        return Claim(instance, state, lease)
    if lease is not None:
        lease.release()
    raise ServiceDied(service=key.partition("-")[0], reason="what the ticket names does not run any more")


class HoldContext:
    """The context manager that `hold()` gives."""

    def __init__(self, ticket: str) -> None:
        self._ticket = ticket
        self._claim: Claim | None = None
        self._pid = 0

    def __enter__(self) -> None:
        """Raises ServiceDied when it does not run any more, RuntimeError when this object is entered already."""
        if self._claim is not None:
            raise RuntimeError("this hold() object is entered already; make another one with hold(...)")
        with RealFiles():
            self._claim = redeem(self._ticket)
        self._pid = os.getpid()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """As leaving `managed()`. In a forked child, and the second time, nothing happens."""
        if self._claim is not None and os.getpid() == self._pid:
            claim, self._claim = self._claim, None
            with RealFiles():
                claim.leave()
