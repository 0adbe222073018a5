"""A start, from the starter's side. All of it happens under the key's lock, with the first lease in hand."""

import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import Any

from servicectx.client import keeper_link
from servicectx.client.prerequisites import check_account
from servicectx.datadirs import prepared
from servicectx.datadirs.cache import SNAPSHOTS, Cache
from servicectx.errors import HomeError, ServiceCtxError, SetupFailed, StartFailed, StartTimeout
from servicectx.request import setup
from servicectx.request.key import scope_text
from servicectx.request.request import Request
from servicectx.services.plan import Plan, path_problem, refused_file, render
from servicectx.state import keep_record, paths, storage
from servicectx.state.instance import Instance
from servicectx.state.leases import Lease
from servicectx.state.record import FAILED, READY, STARTING, Processes, State
from servicectx.system import processes
from servicectx.system.checkpoints import step
from servicectx.system.interrupts import run_to_end
from servicectx.system.originals import time
from servicectx.system.progress import Progress

log = logging.getLogger("servicectx")

SNAPSHOT_TIME = 120.0  # seconds to settle, stop, copy and start again
GONE_TIME = 2.0
PATH_CURE = 'set SERVICECTX_HOME to another directory, or give storage="/another/directory"'
PIPES_LOST = (
    "code in this process closed the pipes to its keeper, most likely its set-up, by closing all descriptors;\n"
    "close none that the code did not open itself, or close them before the start"
)


class Cancelled(BaseException):
    """Whoever asked does not want it any more: its task was cancelled."""


class StartAttempt:
    """One start. Whatever goes wrong, nothing stays but, for those who wait, the reason."""

    def __init__(
        self, ask: Request[Any], instance: Instance, program: str, deadline: float, abandoned: threading.Event
    ) -> None:
        self.ask = ask
        self.instance = instance
        self.program = program
        self.deadline = deadline
        self.abandoned = abandoned
        self.id = os.urandom(4).hex()
        self.lease: Lease | None = None
        self._state: State | None = None
        self._keeper: keeper_link.KeeperLink | None = None
        self._processes: Processes | None = None
        self._undone = False

    def run(self) -> tuple[State, Lease]:
        """Start, set up, publish. The key's lock is held."""
        try:
            return self._run()
        except BaseException as error:
            failure = error
            if self._state is not None and not self._undone:  # a second interrupt came before the undo had begun
                run_to_end(lambda: self._undo(failure))
            raise

    def _run(self) -> tuple[State, Lease]:
        ask, instance, id = self.ask, self.instance, self.id
        secret = os.urandom(16).hex() if ask.opened is None else ask.opened.record.secret
        plan = ask.plan(self.program, secret)
        if reason := refused_file(plan):
            raise StartFailed(service=ask.service.name, name=ask.name, reason=reason)
        if plan.account is not None:
            check_account(plan.account, ask.service.name, ask.name)
        snapshot = ask.snapshot_name(plan, self.program)
        cache = Cache(paths.cache(make=bool(snapshot or plan.template)), paths.cache_size())
        if cache.limit == 0:  # it would stop and start the server for nothing
            snapshot = None
        restored = prepared.size(cache.place(SNAPSHOTS, snapshot)) if snapshot else None
        data = self._place(plan, restored or 0)
        if problem := path_problem(plan, data):
            raise HomeError(path=str(data), problem=problem, cure=PATH_CURE)
        self._state = state = State(
            id=id,
            phase=STARTING,
            service=ask.service.name,
            name=ask.name,
            scope="private" if ask.scope == "private" else scope_text(ask.scope),
            since=time.time(),
            starter=processes.me(),
            data_directory=str(data),
        )
        try:
            instance.create(id)
            self.lease = lease = instance.lease(id, state.starter.start)
            assert lease is not None
            if ask.opened is not None:
                instance.wish(id, linger=0.0, keep_data=True)
            instance.write(state)
            self._keeper = keeper = keeper_link.KeeperLink(instance, id)
            step("spawned")
            left = max(0.0, self.deadline - time.monotonic())
            more: dict[str, Any] = {"name": ask.name, "data_directory": str(data), "snapshot": snapshot}
            more |= {"cache": str(cache.path), "cache_size": cache.limit, "keep_data": ask.keep_data}
            more |= {"opened": ask.opened is not None, "record": ask.record(self.program, secret)._asdict()}
            keeper.order(plan, timeout=ask.timeout, left=left, **more)
            ask.service.details_model()  # imports pydantic, while the keeper starts the server
            keeper_link.sweep(instance.home, instance.key, {data.parent, instance.home / "data"})
            with Progress(f"starting {ask.name}"):
                facts = keeper.facts(self.deadline, self.abandoned.is_set)
            instance.wish(id, linger=0.0, keep_data=ask.keep_data)
            told = ask.service.details(ask.options, facts, secret)
            ping = render(plan.ping, facts)
            self._state = state = state._replace(host=facts["host"], port=facts["port"], ping=ping, details=told)
            details = ask.details(state.host, state.port, told)
            self._check(details)
            if not facts["restored"]:
                frozen = self._set_up(details)
                if snapshot and not frozen:
                    log.warning("no snapshot of %s is kept: what namespaces are copies of could not be kept", ask.name)
                elif snapshot:
                    keeper.keep_snapshot()
                    taken = keeper.facts(time.monotonic() + SNAPSHOT_TIME, self.abandoned.is_set)
                    if reason := taken.get("unkept"):
                        log.warning("no snapshot of %s is kept: %s", ask.name, reason)
            self._still_there(state)
            instance.wish(id, ask.linger, ask.keep_data)
            step("publishing")
            self._state = state = state._replace(phase=READY)
            instance.write(state)
            step("published")
            keeper.close()
            return state, lease
        except BaseException as error:
            failure = error
            run_to_end(lambda: self._undo(failure))
            if isinstance(error, keeper_link.KeeperSilent):
                raise self._timed_out("its keeper did not say a word") from None
            if isinstance(error, keeper_link.PipesLost):
                raise StartFailed(service=ask.service.name, name=ask.name, reason=PIPES_LOST) from None
            if isinstance(error, keeper_link.WaitCancelled):
                raise Cancelled from None
            raise

    def _undo(self, error: BaseException) -> None:
        """Leave nothing of this start but, for processes that wait for it, the reason."""
        state, lease, keeper = self._state, self.lease, self._keeper
        assert state is not None
        if isinstance(error, OSError) and lease is not None:  # without descriptors nothing could be removed
            lease.release()
        try:
            if isinstance(error, StartFailed | StartTimeout | SetupFailed | HomeError):
                self._record(state, error, keeper)
            elif state.phase != READY:  # what is published may have users by now; its keeper ends it without any
                self._clear(state)
        finally:
            if lease is not None:
                lease.release()
            if keeper is not None:
                keeper.close()
            self._undone = True

    def _clear(self, state: State) -> None:
        """End and remove the instance. Where its keeper could not record itself, the keeper removes it alone."""
        with contextlib.suppress(HomeError):
            keeper_link.clear(self.instance, state)

    def _record(self, state: State, error: ServiceCtxError, keeper: keeper_link.KeeperLink | None) -> None:
        """Let processes that wait for this start read why it failed."""
        self._processes = self.instance.processes(self.id)
        try:
            self.instance.write_failure(state._replace(phase=FAILED, failure=error.record()))
        except (HomeError, OSError):  # no room even for that: waiting processes meet the same fault by themselves
            self._clear(state)
        if keeper is None:
            self._clear(state)
        if self.ask.keep_data and self.ask.opened is None and isinstance(error, SetupFailed):
            log.warning("%s", keep_record.advice(self.ask.name, str(state.data_directory)))

    def _place(self, plan: Plan, restored: int) -> Path:
        """The directory of the data: that of kept data, or a new one. Data that are to stay do not go into memory."""
        ask = self.ask
        if ask.opened is not None:
            return ask.opened.path
        name = self.instance.directory(self.id).name
        if ask.keep_data and ask.storage is None and "SERVICECTX_HOME" not in os.environ:
            with contextlib.suppress(HomeError):  # no disk, or a full one
                return storage.data_root(plan.expected_size, plan.account, "disk", restored) / name
        return storage.data_root(plan.expected_size, plan.account, ask.storage, restored) / name

    def see_it_gone(self) -> None:
        """After a failure, with the lock free again: wait until nothing is left of it, or others are still told."""
        if keeper_link.wait_gone(self.instance, self.id, self._processes, GONE_TIME):
            return
        until = time.monotonic() + GONE_TIME
        while self.instance.is_used(self.id) and time.monotonic() < until:
            time.sleep(0.005)
        with self.instance.locked() as locked:  # its keeper crashed, so that nobody else removes the record
            state = keeper_link.current(self.instance) if locked else None
            if state is not None and state.id == self.id and not self.instance.is_used(self.id):
                self._clear(state)

    def _check(self, details: Any) -> None:
        """What only the caller can tell: the service's own Python check."""
        problem = "its readiness check gave false"
        while True:
            try:
                if self.ask.service.check(self.ask.options, details):
                    return
            except Exception as error:  # noqa: BLE001  # the user's code, and not connected yet, most likely
                problem = f"its readiness check raised {type(error).__name__}: {error}"
            if self.abandoned.is_set():
                raise Cancelled
            if time.monotonic() > self.deadline:
                raise self._timed_out(problem)
            time.sleep(0.02)

    def _set_up(self, details: Any) -> bool:
        """False: the service could not freeze what it made."""
        ask = self.ask
        if ask.setup is None:
            return True
        step("setting-up")
        return setup.run(
            ask.service, details, ask.setup, ask.setup_files, lambda: self.program, then=ask.service.freeze
        )

    def _still_there(self, state: State) -> None:
        if not keeper_link.is_kept(self.instance, state):
            raise keeper_link.KeeperLost(keeper_link.log_tail(self.instance.directory(self.id) / "keeper.log"))
        if not keeper_link.lives(self.instance, state):
            reason = "it ended while it was being set up"
            raise StartFailed(service=self.ask.service.name, name=self.ask.name, reason=reason)

    def _timed_out(self, waiting_for: str) -> StartTimeout:
        return StartTimeout(
            service=self.ask.service.name,
            name=self.ask.name,
            timeout=self.ask.timeout,
            waited=self.ask.timeout + time.monotonic() - self.deadline,
            waiting_for=waiting_for,
        )
