"""A claim: the lease of one process on an instance that runs."""

import logging
import os
from pathlib import Path

from servicectx.client import cleanup, liveness
from servicectx.errors import HomeError, ServiceCtxError, ServiceDied, from_record
from servicectx.state import keep_record
from servicectx.state.instance import Instance
from servicectx.state.leases import Lease
from servicectx.state.record import DIED, Processes, State, StateError
from servicectx.system.checkpoints import step
from servicectx.system.originals import time

log = logging.getLogger("servicectx")

LOCK_TIMEOUT = 5.0  # seconds to wait for the key's lock
LEAVE_TIME = 30.0  # seconds for the keeper to remove the instance
DEATH_RECORD_TIME = 0.5  # seconds for a keeper to notice that its server does not answer, and to record its exit
LATE_RECORD_TIME = 30.0  # seconds for keeper or watchdog to record a death that has happened


class Claim:
    """A lease on an instance. It belongs to the process that took it; `leave()` returns it.

    `joined`: False for the process that started the instance.
    """

    def __init__(self, instance: Instance, state: State, lease: Lease, joined: bool = True) -> None:
        self.instance = instance
        self.state = state
        self.lease = lease
        self.joined = joined
        self._is_unrecorded = False  # the long wait for the record of a death was in vain

    def leave(self) -> None:
        """Release the lease. The last user waits until server, keeper, data and port are gone, unless it lingers."""
        try:
            step("leaving")
            # Read before the release: afterwards the files may be gone.
            processes, kept = self.instance.processes(self.state.id), self._keeps_data()
        finally:
            self.lease.release()
        step("left")
        try:
            self._wait_until_removed(processes, cleanup.KEEP_GRACE if kept else LEAVE_TIME)
        except (OSError, HomeError, ImportError) as error:  # Python itself may be out of reach
            log.info("the end of %s cannot be watched from here, its keeper sees to it: %s", self.state.name, error)
        if kept and self.instance.made_data(self.state):
            log.warning("%s", keep_record.advice(self.state.name, self.state.data_directory or ""))

    def _keeps_data(self) -> bool:
        """Whether the data stay. False, too, where this process may not read the instance's files any more."""
        try:
            return self.instance.keeps_data(self.state.id)
        except OSError:
            return False

    def _wait_until_removed(self, processes: Processes | None, wait: float) -> None:
        """Wait for the end of an instance that has no users.

        Raises OSError, HomeError where this process may not look: it gave up its rights, or the home changed.
        """
        id = self.state.id
        if self.instance.is_used(id) or self.instance.linger(id) > 0:
            return
        if not liveness.wait_removed(self.instance, id, processes, wait) and not self.instance.is_used(id):
            self._remove_after_keeper_and_watchdog()

    def _remove_after_keeper_and_watchdog(self) -> None:
        with self.instance.locked(LOCK_TIMEOUT) as locked:  # both were killed
            now = liveness.current(self.instance) if locked else None
            if now is None or liveness.runs_elsewhere(self.instance, now):
                return
            if now.id == self.state.id and not self.instance.is_used(now.id):
                cleanup.clear(self.instance, now)

    def server_pid(self) -> int | None:
        """The process id of the server; None in another PID namespace, and during a restart."""
        processes = self.instance.processes(self.state.id)
        if processes is None or processes.server is None or not processes.origin.is_here():
            return None
        return processes.server.pid

    def log(self) -> Path:
        """The file with the output of the server. It is removed with the instance."""
        return self.instance.directory(self.state.id) / "service.log"

    def alive(self) -> bool:
        """Whether the instance answers."""
        if not self._may_look():
            return liveness.responds(self.state, 2.0)
        state = look(self.instance)
        return state is not None and state.id == self.state.id and liveness.answers(self.instance, state, 2.0)

    def _may_look(self) -> bool:
        """Whether this process may read the instance's files: not after it gave up root, for example."""
        try:
            os.listdir(self.instance.directory(self.state.id))
        except PermissionError:
            return False
        except OSError:
            return True
        return True

    def failure(self) -> ServiceCtxError:
        """The reason why the instance is dead, which its keeper or its watchdog records.

        Without both there is no reason to wait for. A server that lives and does not answer gets `DEATH_RECORD_TIME`,
        and so does every call after a wait in vain: a home that turned read-only takes no record.
        """
        began = time.monotonic()
        while True:
            attended = liveness.is_attended(self.instance, self.state.id)  # first: the record may be its last act
            state = look(self.instance)
            ours = state if state is not None and state.id == self.state.id else None
            if ours is None or ours.phase == DIED or not attended:
                return death(self.state.service, self.state.name, ours)
            late = not self._is_unrecorded and not liveness.lives(self.instance, ours)
            if time.monotonic() > began + (LATE_RECORD_TIME if late else DEATH_RECORD_TIME):
                self._is_unrecorded |= late
                return death(self.state.service, self.state.name, ours)
            time.sleep(0.005)


def look(instance: Instance) -> State | None:
    """The current state; None, too, for a damaged file, which is recovered or replaced under the key's lock."""
    try:
        return instance.look()
    except StateError:
        return None


def death(service: str, name: str, state: State | None) -> ServiceCtxError:
    """The recorded reason for the end of an instance."""
    if state is not None and state.failure:
        return from_record(state.failure)
    return ServiceDied(service=service, name=name, reason="it is gone, and its exit was not recorded")
