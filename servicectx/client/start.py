"""The start of an instance, in the caller's process. All of it happens under the key's lock."""

import contextlib
import functools
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.client import chosen_address, cleanup, liveness, persistent_start
from servicectx.client.attempt import Attempt, Cancelled
from servicectx.client.claim import Claim
from servicectx.client.copy_label import label_of
from servicectx.client.keeper_link import KeeperLink, KeeperLost, KeeperSilent, PipesLost, WaitCancelled, log_tail
from servicectx.client.prerequisites import check_account
from servicectx.client.readiness import wait_until_ready
from servicectx.datadirs import prepared
from servicectx.datadirs.cache import SNAPSHOTS, Cache
from servicectx.datadirs.label import Label
from servicectx.errors import HomeError, PortInUse, ServiceCtxError, SetupFailed, StartFailed, StartTimeout
from servicectx.isolation.namespace_methods import isolation_of
from servicectx.request import persistent_data, setup
from servicectx.request.key import scope_text
from servicectx.services.base import Service
from servicectx.services.plan import Plan, path_problem, refused_file, render
from servicectx.state import keep_record, paths, storage
from servicectx.state.leases import Lease
from servicectx.state.record import FAILED, READY, STARTING, Processes, State
from servicectx.system import processes
from servicectx.system.checkpoints import step
from servicectx.system.interrupts import run_to_end
from servicectx.system.originals import time
from servicectx.system.progress import Progress

log = logging.getLogger("servicectx")

SNAPSHOT_TIME = 120.0  # seconds to flush, stop, copy and start again
REMOVAL_TIME = 2.0  # seconds for the keeper of a failed start to remove it
PATH_CURE = 'set SERVICECTX_HOME to another directory, or give storage="/another/directory"'
PIPES_LOST = (
    "code in this process closed the pipes to its keeper, most likely its set-up, by closing all descriptors;\n"
    "close none that the code did not open itself, or close them before the start"
)


class StartCommand(NamedTuple):
    """What a keeper is to start. `snapshot`: its name in the cache, or None. `label`: of a copy that it stores."""

    plan: Plan
    secret: str
    snapshot: str | None
    cache: Cache
    data: Path
    label: Label


class StartAttempt:
    """One start attempt. On failure everything is removed except the error record, which waiting processes read."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.request = attempt.request
        self.instance = attempt.instance
        self.id = os.urandom(4).hex()
        self._state: State | None = None
        self._lease: Lease | None = None
        self._link: KeeperLink | None = None
        self._processes: Processes | None = None
        self._restored = False
        self._report_of_keeper: dict[str, Any] = {}
        self._setup = attempt.setup
        self._snapshot_time: float | None = None
        self._undone = False

    def run(self) -> Claim:
        """Start the instance, in five steps. The caller holds the key's lock."""
        try:
            self._attempt.locate()
            self.request = self._attempt.request
            command = self._prepare()
            self._spawn(command)
            details = self._wait_until_usable(command)
            self._set_up(details, command)
            return self._publish()
        except BaseException as error:
            try:
                self._undo(error)
            except BaseException:
                self._undo(error)  # a second interrupt came before the removal had begun
                raise
            if isinstance(error, KeeperSilent):
                raise self._attempt.timed_out("its keeper did not respond") from None
            if isinstance(error, PipesLost):
                raise self._attempt.failed(PIPES_LOST) from None
            if isinstance(error, WaitCancelled):
                raise Cancelled from None
            raise

    # -- the five steps --------------------------------------------------------------------------------------------

    def _prepare(self) -> StartCommand:
        """Make the plan, and choose the place of the data. Nothing is on disk yet."""
        request, program = self.request, self._attempt.program
        secret = os.urandom(16).hex() if request.opened is None else request.opened.record.secret
        plan = request.plan(program, secret)
        if reason := refused_file(plan):
            raise self._attempt.failed(reason)
        if plan.account is not None:
            check_account(plan.account, request.service.name, request.name)
        chosen_address.check(request, plan)
        snapshot = request.snapshot_name(plan, program)
        cache = Cache(paths.cache(make=bool(snapshot or plan.template)), paths.cache_size())
        if cache.limit == 0:  # a snapshot would stop and start the server for nothing
            snapshot = None
        restored = prepared.size(cache.place(SNAPSHOTS, snapshot)) if snapshot else None
        self._snapshot_time = prepared.stored_at(cache.place(SNAPSHOTS, snapshot)) if snapshot else None
        data = self._place(plan, restored or 0)
        if problem := path_problem(plan, data):
            raise HomeError(path=str(data), problem=problem, cure=PATH_CURE)
        return StartCommand(plan, secret, snapshot, cache, data, label_of(self._attempt, plan, snapshot, cache))

    def _spawn(self, command: StartCommand) -> None:
        """Make the instance's directory, take the first lease, and spawn the keeper."""
        request, instance, id = self.request, self.instance, self.id
        self._state = state = State(
            id=id,
            phase=STARTING,
            service=request.service.name,
            name=request.name,
            scope="private" if request.scope == "private" else scope_text(request.scope),
            since=time.time(),
            starter=processes.me(),
            data_directory=str(command.data),
            setup=None if self._setup is None else self._setup._asdict(),
        )
        instance.create(id)
        self._lease = lease = instance.lease(id, state.starter.start)
        assert lease is not None
        self._attempt.held.append(lease)
        if request.opened is not None or request.persist:
            instance.record_preferences(id, linger=0.0, keep_data=True)
        instance.write(state)
        self._link = link = KeeperLink(instance, id)
        step("spawned")
        link.send_command(
            command.plan,
            timeout=request.timeout,
            left=max(0.0, self._attempt.deadline - time.monotonic()),
            port=request.address.port,
            ports=request.address.ports,
            name=request.name,
            data_directory=str(command.data),
            snapshot=command.snapshot,
            cache=str(command.cache.path),
            cache_size=command.cache.limit,
            label=list(command.label),
            secret=command.secret,
            keep_data=request.keep_data,
            opened=request.opened is not None,
            persist=request.persist,
            preferred_ports=persistent_data.preferred_ports(request),
            record=request.record(self._attempt.program, _secret_in_data(command))._asdict(),
        )

    def _wait_until_usable(self, command: StartCommand) -> Any:
        """Wait for the keeper's report and the service's own check; the details. Meanwhile: what takes time here."""
        request, instance = self.request, self.instance
        assert self._state is not None
        request.service.details_model()  # imports pydantic
        cleanup.sweep(instance.home, instance.key, {command.data.parent, instance.home / "data"})
        with Progress(f"starting {request.name}"):
            report = self._report(self._attempt.deadline)
        self._restored = bool(report["restored"])
        self._report_of_keeper = report
        instance.record_preferences(self.id, linger=0.0, keep_data=request.keep_data)
        fields = request.program_fields(self._attempt.program)
        fields |= request.service.details(request.options, report, command.secret)
        ping = render(command.plan.ping, report)
        self._state = state = self._state._replace(host=report["host"], port=report["port"], ping=ping, details=fields)
        details = request.details(state.host, state.port, fields)
        attempt = self._attempt
        wait_until_ready(request, details, attempt.deadline, attempt.timed_out, attempt.check_cancelled)
        return details

    def _set_up(self, details: Any, command: StartCommand) -> None:
        """Run the set-up on fresh data, and let the keeper take a snapshot."""
        if self._restored:
            if self.request.persist and (isolation := isolation_of(self.request.service, details)) is not None:
                try:
                    isolation.forget_earlier()
                except Exception as error:  # noqa: BLE001  # the data is usable without
                    log.warning("namespaces of earlier runs stay in %s: %s", self.request.name, error)
            return
        request, frozen = self.request, True
        if request.setup is not None:
            step("setting-up")
            service, find_program = request.service, lambda: self._attempt.program
            freeze = functools.partial(_freeze, service)
            frozen = setup.run(service, details, request.setup, request.setup_files, find_program, then=freeze)
        if not command.snapshot:
            return
        if not frozen:
            log.warning("no snapshot of %s is kept: the source of its namespaces could not be frozen", request.name)
            return
        assert self._link is not None
        self._link.request_snapshot()
        report = self._report(time.monotonic() + SNAPSHOT_TIME)
        if reason := report.get("unkept"):
            log.warning("no snapshot of %s is kept: %s", request.name, reason)

    def _publish(self) -> Claim:
        """Make the instance the key's current one, for other processes to join."""
        request, instance = self.request, self.instance
        assert self._state is not None
        assert self._lease is not None
        assert self._link is not None
        self._check_alive(self._state)
        instance.record_preferences(self.id, request.linger, request.keep_data)
        step("publishing")
        setup = self._setup_that_ran()
        if request.persistent is not None:
            setup = persistent_start.complete(request, self._attempt.program, self._report_of_keeper, setup)
            step("persisted")
        self._state = state = self._state._replace(phase=READY, setup=setup)
        instance.write(state)
        step("published")
        self._link.close()
        return Claim(instance, state, self._lease, joined=False)

    # -- parts of the steps ----------------------------------------------------------------------------------------

    def _report(self, deadline: float) -> dict[str, Any]:
        assert self._link is not None
        try:
            return self._link.wait_for_report(deadline, self._attempt.cancelled.is_set)
        except PortInUse as error:  # another program took the port after the check
            raise chosen_address.with_instance(error, self.request) from None

    def _setup_that_ran(self) -> dict[str, Any] | None:
        """The record of the set-up, with the time when it ran: now, or before the snapshot that was restored."""
        if self._setup is None:
            return None
        ran = self._snapshot_time if self._restored else time.time()
        return self._setup._replace(ran=ran, restored=self._restored)._asdict()

    def _place(self, plan: Plan, restored: int) -> Path:
        """The directory of the data: that of kept data, or a new one. Data that stay are not placed in memory."""
        request = self.request
        if request.persistent is not None:
            return persistent_start.place(request, plan)
        if request.opened is not None:
            return request.opened.path
        name = self.instance.directory(self.id).name
        if request.keep_data and request.storage is None and "SERVICECTX_HOME" not in os.environ:
            with contextlib.suppress(HomeError):  # no disk, or a full one
                return storage.data_root(plan.expected_size, plan.account, "disk", restored) / name
        return storage.data_root(plan.expected_size, plan.account, request.storage, restored) / name

    def _check_alive(self, state: State) -> None:
        """Raises KeeperLost, StartFailed: keeper or server ended during the set-up."""
        if not liveness.keeper_lives(self.instance, state):
            raise KeeperLost(log_tail(self.instance.directory(self.id) / "keeper.log"))
        if not liveness.lives(self.instance, state):
            reason = "it ended while it was being set up"
            raise self._attempt.failed(reason)

    # -- failure ---------------------------------------------------------------------------------------------------

    def _undo(self, error: BaseException) -> None:
        """Remove all that this start made, except the error record. The second time nothing happens."""
        if self._state is not None and not self._undone:
            run_to_end(lambda: self._remove(error))

    def _remove(self, error: BaseException) -> None:
        state, lease, link = self._state, self._lease, self._link
        assert state is not None
        if isinstance(error, OSError) and lease is not None:  # without descriptors nothing could be removed
            lease.release()
        try:
            if isinstance(error, StartFailed | StartTimeout | SetupFailed | HomeError):
                self._record(state, error)
            elif state.phase != READY:  # a published instance may have users by now
                self._clear(state)
        finally:
            if lease is not None:
                lease.release()
            if link is not None:
                link.close()
            self._undone = True

    def _clear(self, state: State) -> None:
        """End and remove the instance. A keeper that could not record itself removes it alone."""
        with contextlib.suppress(HomeError):
            cleanup.clear(self.instance, state)

    def _record(self, state: State, error: ServiceCtxError) -> None:
        """Write the reason, for the processes that wait for this start."""
        self._processes = self.instance.processes(self.id)
        try:
            self.instance.write_failure(state._replace(phase=FAILED, failure=error.record()))
        except (HomeError, OSError):  # no room even for that: waiting processes meet the same fault
            self._clear(state)
        if self._link is None:
            self._clear(state)
        fresh = self.request.opened is None and not self.request.persist
        if self.request.keep_data and fresh and isinstance(error, SetupFailed):
            log.warning("%s", keep_record.advice(self.request.name, str(state.data_directory)))

    def wait_until_removed(self) -> None:
        """After a failure, with the lock free again: wait until the instance is removed, or its reason is read."""
        if liveness.wait_removed(self.instance, self.id, self._processes, REMOVAL_TIME):
            return
        until = time.monotonic() + REMOVAL_TIME
        while self.instance.is_used(self.id) and time.monotonic() < until:
            time.sleep(0.005)
        with self.instance.locked(
            held=self._attempt.held
        ) as locked:  # its keeper crashed and does not remove the record
            state = liveness.current(self.instance) if locked else None
            if state is not None and state.id == self.id and not self.instance.is_used(self.id):
                self._clear(state)


def _freeze(service: Service[Any], details: Any) -> bool:
    """Store the state that namespaces are copies of; False if that failed."""
    isolation = isolation_of(service, details)
    return isolation is None or isolation.freeze()


def _secret_in_data(command: StartCommand) -> str:
    """The password in the data: the one that the caller chose, if the service stores it there."""
    snapshot = command.plan.snapshot
    return (snapshot.secret if snapshot is not None else "") or command.secret
