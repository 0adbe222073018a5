"""Join the running instance of a key, or start one: the only place that decides between the two."""

import logging
import threading
from typing import Any

from servicectx.client import cleanup, liveness
from servicectx.client.attempt import Attempt, Backoff
from servicectx.client.claim import DEATH_RECORD_TIME, Claim, death, look
from servicectx.client.keeper_link import KeeperLost
from servicectx.client.prerequisites import check_loopback, check_processes, explained
from servicectx.client.start import StartAttempt
from servicectx.errors import HomeError, ServiceCtxError, from_record
from servicectx.request.request import Request
from servicectx.state.leases import Releasable
from servicectx.state.record import DIED, FAILED, READY, State
from servicectx.system import processes
from servicectx.system.checkpoints import step
from servicectx.system.originals import time

log = logging.getLogger("servicectx")

PING_TIME = 5.0  # seconds for an instance without other users to answer a process that joins
PING_STEP = 0.5  # seconds for the first ping; each further one gets twice as long, up to PING_TIME
FAILURE_READ_TIME = 1.0  # seconds for waiting processes to read why a start failed


def acquire(request: Request[Any], began: float, cancelled: threading.Event, held: list[Releasable]) -> Claim:
    """Claim an instance for the request. `began`: a monotonic time. `held`: after an error, the caller releases these.

    There are three cases:
    1. An instance runs, or is about to: take a lease, then look. No lock is needed.
    2. Another process holds the key's lock, because it starts or stops the instance: wait.
    3. Nothing usable is left under the key: start one, under the key's lock.
    """
    check_processes(request.service.name, request.name)
    try:
        attempt = Attempt(request, began, cancelled, held)
    except HomeError as error:
        raise explained(error, request.service.name, request.name) or error from None
    try:
        step("before-lock")
        backoff = Backoff(attempt)
        while True:
            if claim := join(attempt):
                return claim
            check_loopback(request.service.name, request.name)
            starting = StartAttempt(attempt)
            try:
                with attempt.instance.locked(held=attempt.held) as locked:
                    if locked and remove_stale(attempt):
                        step("holding-lock")
                        return starting.run()
            except KeeperLost as error:
                attempt.count_lost_keeper(error.log_tail)
            except ServiceCtxError:
                starting.wait_until_removed()
                raise
            backoff.wait()
    except (OSError, HomeError) as error:
        known = explained(error, request.service.name, request.name)
        if known is not None and known is not error:
            raise known from error
        raise


def join(attempt: Attempt) -> Claim | None:
    """A claim on the running instance; None where there is none to join."""
    instance = attempt.instance
    state = look(instance)
    if state is None or state.phase in (FAILED, DIED):
        return None
    lease = instance.lease(state.id, processes.me().start)  # first claim, then look: the keeper does the reverse
    if lease is None:
        return None
    attempt.held.append(lease)
    ready = _wait_until_ready(attempt, state.id)
    if ready is None:
        lease.release()
        attempt.held.remove(lease)
        return None
    attempt.locate()  # the set-up of persistent data is not a part of the key
    instance.record_preferences(ready.id, attempt.request.linger, attempt.request.keep_data)
    step("joined")
    return Claim(instance, ready, lease)


def _wait_until_ready(attempt: Attempt, id: str) -> State | None:
    """Wait for an instance that starts or stops, with a lease on it. None: it does not become ready."""
    instance, backoff = attempt.instance, Backoff(attempt)
    while True:
        state = look(instance)
        if state is None or state.id != id or state.phase == DIED:
            return None
        if state.phase == FAILED:
            raise from_record(state.failure or {})
        if state.phase == READY:
            return state if _answers(attempt, state) else None
        with instance.locked(held=attempt.held) as locked:
            now = look(instance) if locked else None
            if locked and (now is None or now.id != id or now.phase not in (READY, FAILED)):
                return None  # the process that started or stopped it is dead
        backoff.wait()


def _answers(attempt: Attempt, state: State) -> bool:
    """Whether the instance answers. Without other users it gets `PING_TIME`: this process can start another one.

    An instance of other users gets until the deadline: it may be busy, and no process may take it away from them.
    Raises StartTimeout then.
    """
    instance = attempt.instance
    patience = time.monotonic() + PING_TIME
    wait = PING_STEP
    while True:
        left = attempt.deadline - time.monotonic()
        if liveness.answers(instance, state, max(0.1, min(wait, left)), most=wait):
            return True
        if not liveness.lives(instance, state):
            return False
        check_loopback(attempt.request.service.name, attempt.request.name)
        attempt.check_cancelled()
        users = instance.users(state.id)
        if len(users) < 2 and time.monotonic() >= patience:
            return False
        if time.monotonic() >= attempt.deadline:
            held = ", ".join(str(user["pid"]) for user in users)
            raise attempt.timed_out(f"it runs but does not answer, and it is held by the processes {held}")
        wait = min(2 * wait, PING_TIME)


def remove_stale(attempt: Attempt) -> bool:
    """Remove what is stale under the key, whose lock the caller holds. False: there is an instance to join."""
    instance = attempt.instance
    state = liveness.current(instance)
    if state is None:
        return True
    if state.phase == READY and liveness.answers(instance, state, PING_TIME):
        instance.write(state)  # it may come from the copy of the instance
        return False
    now = time.monotonic()
    if state.phase == READY and liveness.keeper_lives(instance, state) and now < attempt.death_record_due:
        attempt.death_record_due = min(attempt.death_record_due, now + DEATH_RECORD_TIME)
        return False  # its server just died: let its keeper record the exit, and come again
    if state.phase == FAILED:
        _let_waiting_processes_read(attempt, state)
    elif state.phase in (READY, DIED):
        reason = death(attempt.request.service.name, attempt.request.name, state)
        log.warning("%s is started anew: %s", attempt.request.name, reason)
    cleanup.clear(instance, state)
    return True


def _let_waiting_processes_read(attempt: Attempt, state: State) -> None:
    until = time.monotonic() + FAILURE_READ_TIME
    while attempt.instance.is_used(state.id) and time.monotonic() < until:
        time.sleep(0.005)
