"""The caller's side of a keeper: spawn it, hand it the plan, hear that the service is usable or why it is not."""

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servicectx._running import cleanup, marked, pids, plan, probes
from servicectx._sharing.instance import Instance
from servicectx._sharing.state import READY, Processes, State, StateError
from servicectx.errors import HomeError, StartFailed, from_record
from servicectx.system import faults

GRACE = 3.0  # seconds a keeper has for what it was told, before it is killed

_BOOTSTRAP = (
    "import gc, sys; gc.disable(); paths, home, key, id = sys.argv[1:]; sys.path[:] = paths.split(':'); "
    "from servicectx._running.guard import main as keeper; keeper(home, key, id)"
)


class KeeperLost(Exception):
    """The keeper was killed before it could report. That is no failure of the service; start again."""

    def __init__(self, log_tail: str = "") -> None:
        super().__init__(log_tail)
        self.log_tail = log_tail  # of keeper.log


class KeeperSilent(Exception):
    """The keeper lives but says nothing, long after the time it was given."""


class GivenUp(Exception):
    """Whoever waited does not want to any more."""


class Launch:
    """A keeper that was just spawned. It does nothing before `order()`."""

    def __init__(self, instance: Instance, id: str) -> None:
        """Raises HomeError where there is no room for its log, or no descriptor or process left."""
        self._log = instance.directory(id) / "keeper.log"
        self._service = self._name = ""
        self._orders = self._reports = self._pid = -1
        pids.reap_keepers()
        try:
            self._spawn(instance, id)
        except OSError as error:
            self.close()
            problem = "no keeper was started"
            raise faults.home_error(error, problem, str(self._log)) or HomeError(
                path=str(error.filename or self._log), problem=f"{problem}: {error.strerror}", cure="see the reason"
            ) from None

    def _spawn(self, instance: Instance, id: str) -> None:
        # No -m and no site: a keeper must not pay for the caller's environment, nor run its start-up hooks.
        package = str(Path(__file__).parents[2])
        search = os.pathsep.join(dict.fromkeys([package, *filter(os.path.isabs, sys.path)]))
        command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, search, str(instance.home), instance.key, id]
        environment = {name: value for name, value in os.environ.items() if name != "mirakuru_uuid"}
        environment |= marked.environment(instance.directory(id))  # of this one, also below a server of another
        with contextlib.ExitStack() as ours:
            # Opened here: posix_spawn reports a failure to open as one of the program.
            log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            ours.callback(os.close, log)
            orders, self._orders = _pipe()
            ours.callback(os.close, orders)
            self._reports, reports = _pipe()
            ours.callback(os.close, reports)
            log = _above_standard(log, ours)
            self._pid = os.posix_spawn(
                sys.executable,
                command,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, orders, 0),
                    (os.POSIX_SPAWN_DUP2, reports, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE],
            )
        os.set_blocking(self._orders, False)

    def order(self, what: plan.Plan, **more: str | float | None) -> None:
        """Say what to run: the plan, name, data_directory, timeout (seconds asked for), left (seconds of them),
        snapshot (its name in the cache, or none), cache."""
        self._service, self._name = what.service, str(more.get("name") or "")
        self._say({"plan": plan.encode(what), **more}, float(more.get("left") or 0.0))

    def keep_snapshot(self) -> None:
        """Say that the set-up is done. The keeper keeps a copy of the data and reports once more."""
        self._say({"snapshot": True}, GRACE)

    def _say(self, what: dict[str, Any], seconds: float) -> None:
        """Write it, at most GRACE beyond `seconds`: a keeper that was stopped empties no pipe."""
        text = json.dumps(what).encode() + b"\n"
        deadline = time.monotonic() + seconds + GRACE
        poller = select.poll()
        poller.register(self._orders, select.POLLOUT)
        try:
            while text:
                try:
                    text = text[os.write(self._orders, text) :]
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise KeeperSilent from None
                    poller.poll(100)
        except BrokenPipeError:
            pass  # the keeper is dead; `facts` tells

    def facts(self, deadline: float, given_up: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Wait for the report: the facts of a usable service.

        Raises what the keeper reported; KeeperLost when it ended without a report; KeeperSilent some seconds after
        `deadline` (a monotonic time), which a healthy keeper does not let happen; GivenUp when that turns true.
        """
        heard = b""
        poller = select.poll()  # a descriptor may be beyond what select() takes
        poller.register(self._reports, select.POLLIN)
        while not heard.endswith(b"\n"):
            if given_up():
                raise GivenUp
            if time.monotonic() > deadline + GRACE:
                raise KeeperSilent
            if poller.poll(100):
                chunk = os.read(self._reports, 65536)
                if not chunk:
                    raise self._lost()
                heard += chunk
        report = json.loads(heard)
        if "failed" in report:
            raise from_record(report["failed"])
        facts: dict[str, Any] = report["ready"]
        return facts

    def _lost(self) -> KeeperLost | StartFailed:
        """Why there is no report. A keeper that crashed by itself would do so again, one that was killed would not."""
        log = log_tail(self._log)
        if not self._reap() and "Traceback (most recent call last)" not in log:
            return KeeperLost(log)
        cause = log.splitlines()[-1] if log else "it wrote no reason down"
        reason = f"its keeper crashed: {cause}"
        return StartFailed(service=self._service, name=self._name, reason=reason, log_tail=log)

    def _reap(self) -> bool:
        """Whether the spawned process ended with an error. It ends at once, when it has made guard and keeper."""
        if self._pid > 0:
            pid, self._pid = self._pid, -1
            with contextlib.suppress(ChildProcessError):
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) > 0
        return False

    def close(self) -> None:
        for descriptor in (self._orders, self._reports):
            if descriptor >= 0:
                os.close(descriptor)
        self._orders = self._reports = -1
        self._reap()


def log_tail(log: Path) -> str:
    """The last lines of keeper.log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-30:])
    except OSError:
        return ""


def _above_standard(descriptor: int, ours: contextlib.ExitStack) -> int:
    """The descriptor, or a copy above the standard ones, which this process may have closed."""
    if descriptor > 2:
        return descriptor
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    ours.callback(os.close, copy)
    return copy


def _pipe() -> tuple[int, int]:
    """A pipe above the standard descriptors, which this process may have closed."""
    ends = os.pipe()
    high: list[int] = []
    try:
        high += [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends]
    except OSError:
        for end in high:
            os.close(end)
        raise
    finally:
        for end in ends:
            os.close(end)
    return high[0], high[1]


def answers(instance: Instance, state: State, wait: float) -> bool:
    """Whether the instance that `state` tells of still serves: its processes live, and it answers its ping."""
    if state.phase != READY or not lives(instance, state):
        return False
    deadline = time.monotonic() + wait
    while probes.ask(state.ping or {"kind": "running"}, state.host, state.port, wait=min(2.0, wait)) is None:
        if time.monotonic() > deadline or not lives(instance, state):
            return False
        time.sleep(0.01)
    return True


def is_kept(instance: Instance, state: State) -> bool:
    """Whether its keeper is there, whatever became of the server."""
    processes = instance.processes(state.id)
    return processes is not None and pids.alive(processes.keeper)


def lives(instance: Instance, state: State) -> bool:
    """Whether keeper and server are there, by id and start."""
    processes = instance.processes(state.id)
    return processes is not None and pids.alive(processes.keeper) and pids.alive(processes.server)


def wait_gone(instance: Instance, id: str, processes: Processes | None, seconds: float) -> bool:
    """Whether the instance and its processes are gone within `seconds`. False as well: it was joined again."""
    deadline = time.monotonic() + seconds
    for process in (processes.guard, processes.keeper) if processes else ():
        while not pids.wait_gone(process, 0.05):
            if time.monotonic() > deadline or instance.is_used(id):
                return False
        pids.reap(process)
    pids.reap_keepers()
    return not instance.directory(id).exists()


def clear(instance: Instance, state: State) -> None:
    """End and remove an instance that is of no use any more. The caller holds the key's lock."""
    processes, kept = instance.processes(state.id), instance.keeps_data(state.id)
    ended = False
    if processes is not None:
        family = pids.family(processes.server)
        ended = pids.alive(processes.keeper)
        pids.send(processes.keeper, signal.SIGTERM)
        if not pids.wait_gone(processes.keeper, GRACE):
            pids.send(processes.keeper, signal.SIGKILL)
            ended = False
        if not pids.wait_gone(processes.server, GRACE):
            pids.send(processes.server, signal.SIGKILL)
            pids.wait_gone(processes.server, GRACE)
            for worker in family:  # one that was stopped does not see its server's end
                pids.send(worker, signal.SIGKILL)
        pids.wait_gone(processes.guard, 0.2)  # it goes with its keeper, unless that was killed and it wants the lock
    if not ended:  # nobody else knows what ran below its server, or beside it
        marked.end(instance.directory(state.id), spared=processes or ())
        cleanup.run(instance.directory(state.id))
    for process in processes or ():
        pids.reap(process)
    instance.remove(state, keep_data=kept)


def sweep(home: Path, but: str) -> None:
    """Clear what the dead left under other keys: no lease is held, and keeper and guard are proven gone."""
    for key in {name.partition(".")[0] for name in os.listdir(home)} - {but, "data"}:
        instance = Instance(home, key)
        if _is_in_use(instance):
            continue
        with instance.locked() as locked:
            state = current(instance) if locked else None
            if state is not None and not instance.is_used(state.id) and not _has_processes(instance, state):
                clear(instance, state)


def _is_in_use(instance: Instance) -> bool:
    """A look without the lock, so that nobody has to wait for a sweep."""
    try:
        state = instance.look()
    except (StateError, HomeError):
        return False
    return state is not None and (pids.alive(state.starter) or _has_processes(instance, state))


def current(instance: Instance) -> State | None:
    """The state, from the instance's own copy where the state file is lost or damaged. Under the key's lock."""
    try:
        state = instance.look()
    except StateError:
        state = None
    return state if state is not None and instance.directory(state.id).exists() else instance.recover()


def _has_processes(instance: Instance, state: State) -> bool:
    processes = instance.processes(state.id)
    return processes is not None and any(map(pids.alive, (processes.keeper, processes.guard)))
