"""One user's share in an instance: join what is there, or start it; leave, and the last one out sees it gone."""

import logging
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from servicectx.client import keeper_link
from servicectx.client.claim import Claim
from servicectx.client.prerequisites import check, explained
from servicectx.client.start import Cancelled, StartAttempt
from servicectx.errors import HomeError, ServiceCtxError, ServiceDied, StartFailed, StartTimeout, from_record
from servicectx.request.request import Request
from servicectx.state import paths
from servicectx.state.instance import Instance
from servicectx.state.leases import Lease
from servicectx.state.record import DIED, FAILED, READY, State
from servicectx.system import processes
from servicectx.system.checkpoints import step
from servicectx.system.originals import time

if TYPE_CHECKING:
    from servicectx.services.details import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")

log = logging.getLogger("servicectx")

KEEPER_TRIES = 3  # a keeper that somebody killed is no failure of the service
PING_TIME = 5.0  # seconds for a running service that has no other users to answer a process that joins
PING_STEP = 0.5  # seconds for the first ping; each further one gets twice as long, up to PING_TIME
OBITUARY_TIME = 0.5  # seconds for the keeper of a dead server to write down how it ended


class Share(Claim, Generic[D]):
    """A claim that `take` takes: by joining what is there, or by starting it. `began`: a monotonic time."""

    def __init__(self, ask: Request[Any], began: float, abandoned: threading.Event) -> None:
        self.began = began
        self.deadline = began + ask.timeout
        self.abandoned = abandoned
        self.joined = True
        self._obituary_due = self.deadline
        self._starting: StartAttempt | None = None
        self._taken: Lease | None = None
        check(ask.service.name, ask.name)
        self.program = ask.program()
        self.ask = ask.with_what_can_be_kept(self.program)
        try:
            self.instance = Instance(paths.home(), ask.key(self.program))
        except HomeError as error:
            raise explained(error, ask.service.name, ask.name) or error from None

    def details(self) -> D:
        made: D = self.ask.details(self.state.host, self.state.port, self.state.details or {})
        return made

    # -- taking ----------------------------------------------------------------------------------------------------

    def take(self) -> None:
        """Join or start. What it raises, `Managed.__enter__` lists; then `drop` must follow."""
        try:
            self._take()
        except (OSError, HomeError) as error:
            if (known := explained(error, self.ask.service.name, self.ask.name)) is not None:
                raise known from error
            raise

    def _take(self) -> None:
        step("before-lock")
        lost, pause = 0, 0.001
        while not self._join():
            self._starting = starting = StartAttempt(
                self.ask, self.instance, self.program, self.deadline, self.abandoned
            )
            try:
                with self.instance.locked() as locked:
                    if locked and not self._can_be_joined():
                        step("holding-lock")
                        self.joined = False
                        self.state, self._taken = starting.run()
                        self.lease = self._taken
                        return
            except keeper_link.KeeperLost as error:
                lost += 1
                if lost == KEEPER_TRIES:
                    raise self._failed(f"its keeper was killed {lost} times", error.log_tail) from None
            except ServiceCtxError:
                starting.see_it_gone()
                raise
            self._pause(pause)
            pause = min(pause * 1.5, 0.02)

    def drop(self) -> None:
        """Give the lease back, if there is one by now, and wait for nothing."""
        started = self._starting.lease if self._starting is not None else None
        for lease in (self._taken, started):
            if lease is not None:
                lease.release()

    def _join(self) -> bool:
        """Whether a running instance is now held by a lease of this user's."""
        state = self._look()
        if state is None or state.phase in (FAILED, DIED):
            return False
        lease = self.instance.lease(state.id, processes.me().start)
        if lease is None:
            return False
        try:
            ready = self._wait_until_ready(state.id)
        except BaseException:
            lease.release()
            raise
        if ready is None:
            lease.release()
            return False
        self.state, self.lease, self._taken = ready, lease, lease
        self.instance.wish(ready.id, self.ask.linger, self.ask.keep_data)
        step("joined")
        return True

    def _wait_until_ready(self, id: str) -> State | None:
        """Wait for an instance that is being started or stopped, lease in hand. None: it is not going to be ready."""
        pause = 0.001
        while True:
            state = self._look()
            if state is None or state.id != id or state.phase == DIED:
                return None
            if state.phase == FAILED:
                raise from_record(state.failure or {})
            if state.phase == READY:
                return state if self._answers(state) else None
            with self.instance.locked() as locked:
                now = self._look() if locked else None
                if locked and (now is None or now.id != id or now.phase not in (READY, FAILED)):
                    return None  # whoever was starting or stopping it is dead
            self._pause(pause)
            pause = min(pause * 1.5, 0.02)

    def _answers(self, state: State) -> bool:
        """Whether it answers. An instance that only this process holds gets `PING_TIME`: it can be started anew.

        An instance of other users gets until the deadline: it may be busy, and no process may take it away.
        Raises StartTimeout then.
        """
        given_up = time.monotonic() + PING_TIME
        wait = PING_STEP
        while True:
            left = self.deadline - time.monotonic()
            if keeper_link.answers(self.instance, state, max(0.1, min(wait, left)), most=wait):
                return True
            if not keeper_link.lives(self.instance, state):
                return False
            if self.abandoned.is_set():
                raise Cancelled
            users = self.instance.users(state.id)
            if len(users) < 2 and time.monotonic() >= given_up:
                return False
            if time.monotonic() >= self.deadline:
                held = ", ".join(str(user["pid"]) for user in users)
                raise self._timed_out(f"it runs but does not answer, and it is held by the processes {held}")
            wait = min(2 * wait, PING_TIME)

    def _can_be_joined(self) -> bool:
        """Under the lock: whether there is something to join after all. What is stale is cleared."""
        state = keeper_link.current(self.instance)
        if state is None:
            return False
        if state.phase == READY and keeper_link.answers(self.instance, state, PING_TIME):
            self.instance.write(state)  # it may have come from the instance's own copy
            return True
        if state.phase == READY and keeper_link.is_kept(self.instance, state) and time.monotonic() < self._obituary_due:
            self._obituary_due = min(self._obituary_due, time.monotonic() + OBITUARY_TIME)
            return True  # its server just died: let its keeper write down how, and come again
        if state.phase == FAILED:
            self._let_waiters_hear(state.id)
        elif state.phase in (READY, DIED):
            log.warning("%s is started anew: %s", self.ask.name, died(self.ask, state))
        keeper_link.clear(self.instance, state)
        return False

    def _let_waiters_hear(self, id: str) -> None:
        until = time.monotonic() + 1.0
        while self.instance.is_used(id) and time.monotonic() < until:
            time.sleep(0.005)

    # -- looking ---------------------------------------------------------------------------------------------------

    def failure(self) -> ServiceCtxError:
        """Why it does not. Its keeper may be a moment away from writing that down."""
        until = time.monotonic() + OBITUARY_TIME
        while True:
            state = self._look()
            ours = state if state is not None and state.id == self.state.id else None
            if ours is None or ours.phase == DIED or time.monotonic() > until:
                return died(self.ask, ours)
            time.sleep(0.005)

    def _pause(self, seconds: float) -> None:
        if self.abandoned.is_set():
            raise Cancelled
        if time.monotonic() > self.deadline:
            raise self._timed_out(f"another one is starting or stopping it: {self.instance.holder()}")
        time.sleep(seconds)

    def _failed(self, reason: str, log_tail: str) -> StartFailed:
        return StartFailed(service=self.ask.service.name, name=self.ask.name, reason=reason, log_tail=log_tail)

    def _timed_out(self, waiting_for: str) -> StartTimeout:
        return StartTimeout(
            service=self.ask.service.name,
            name=self.ask.name,
            timeout=self.ask.timeout,
            waited=time.monotonic() - self.began,
            waiting_for=waiting_for,
        )


def died(ask: Request[Any], state: State | None) -> ServiceCtxError:
    """What became of a dead instance, as far as anybody wrote it down."""
    if state is not None and state.failure:
        return from_record(state.failure)
    return ServiceDied(service=ask.service.name, name=ask.name, reason="it is gone, and nobody saw how")
