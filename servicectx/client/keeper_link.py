"""The caller's side of a keeper: spawn it, hand it the plan, hear that the service is usable or why it is not."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from servicectx.errors import BinaryNotFound, HomeError, StartFailed, from_record
from servicectx.keeper import after_kill, probes, process_marks, search_path
from servicectx.services import plan
from servicectx.state import container, marked, names
from servicectx.state.instance import Instance
from servicectx.state.record import READY, Processes, State, StateError
from servicectx.system import faults, interpreter, polling, reading
from servicectx.system import processes as pids
from servicectx.system.checkpoints import step
from servicectx.system.descriptors import Descriptor
from servicectx.system.originals import json, time

OF_INSTANCES = (names.LOCK, names.STATE, names.TEMPORARY, names.INSTANCE)
RECORD_TIME = 2.0  # seconds between a process's lock and what it writes about itself
GRACE = 3.0  # seconds a keeper has for what it was told, before it is killed
KEEP_GRACE = 120.0  # seconds, where the server writes data that are kept

# mirakuru's mark, and the one by which `servicectx run` finds the processes of its command: a keeper is none of them.
NOT_THE_KEEPERS = ("mirakuru_uuid", "SERVICECTX_RUN")

_BOOTSTRAP = f"{search_path.BEGIN} from servicectx.keeper.watchdog import main as keeper; keeper(*sys.argv[2:])"


class KeeperLost(Exception):
    """The keeper was killed before it could report. That is no failure of the service; start again."""

    def __init__(self, log_tail: str = "") -> None:
        super().__init__(log_tail)
        self.log_tail = log_tail  # of keeper.log


class KeeperSilent(Exception):
    """The keeper lives but says nothing, long after the time it was given."""


class PipesLost(Exception):
    """Code in this process closed the pipes to the keeper."""


class WaitCancelled(Exception):
    """Whoever waited does not want to any more."""


class KeeperLink:
    """A keeper that was just spawned. It does nothing before `order()`."""

    def __init__(self, instance: Instance, id: str) -> None:
        """Raises HomeError where there is no room for its log, or no descriptor or process left."""
        self._log = instance.directory(id) / "keeper.log"
        self._service = self._name = ""
        self._orders: Descriptor | None = None
        self._reports: Descriptor | None = None
        self._pid = -1
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
        search = search_path.argument()
        python = _interpreter()
        command = [python, "-I", "-S", "-c", _BOOTSTRAP, search, str(instance.home), instance.key, id]
        environment = {name: value for name, value in os.environ.items() if name not in NOT_THE_KEEPERS}
        environment |= process_marks.environment(instance.directory(id))  # of this one, also below a server of another
        with contextlib.ExitStack() as ours:
            # Opened here: posix_spawn reports a failure to open as one of the program.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            log = ours.enter_context(contextlib.closing(Descriptor(os.open(self._log, flags, 0o600))))
            orders, self._orders = _pipe()
            ours.callback(orders.close)
            self._reports, reports = _pipe()
            ours.callback(reports.close)
            self._pid = os.posix_spawn(
                python,
                command,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, orders.number, 0),
                    (os.POSIX_SPAWN_DUP2, reports.number, 1),
                    (os.POSIX_SPAWN_DUP2, log.number, 2),
                ],
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE],
            )
        os.set_blocking(self._orders.number, False)

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
        assert self._orders is not None
        if not self._orders.is_ours:
            raise PipesLost
        deadline = time.monotonic() + seconds + GRACE
        try:
            while text:
                try:
                    text = text[os.write(self._orders.number, text) :]
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise KeeperSilent from None
                    polling.is_writable(self._orders.number, 0.1)
        except BrokenPipeError:
            pass  # the keeper is dead; `facts` tells

    def facts(self, deadline: float, given_up: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Wait for the report: the facts of a usable service.

        Raises what the keeper reported; KeeperLost when it ended without a report; KeeperSilent some seconds after
        `deadline` (a monotonic time), which a healthy keeper does not let happen; GivenUp when that turns true.
        """
        heard = b""
        while not heard.endswith(b"\n"):
            if given_up():
                raise WaitCancelled
            if time.monotonic() > deadline + GRACE:
                raise KeeperSilent
            assert self._reports is not None
            if not self._reports.is_ours:
                raise PipesLost
            if polling.is_readable(self._reports.number, 0.1):
                chunk = os.read(self._reports.number, 65536)
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
            if descriptor is not None:
                descriptor.close()
        self._reap()


def log_tail(log: Path) -> str:
    """The last lines of keeper.log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-30:])
    except OSError:
        return ""


def _interpreter() -> str:
    """The Python that runs keepers. Raises BinaryNotFound."""
    try:
        return interpreter.path()
    except interpreter.NoInterpreter as error:
        problem = f"no Python runs its keeper: sys.executable is {sys.executable!r}; set it to a Python interpreter"
        raise BinaryNotFound(
            service="servicectx", binary="python", looked=error.looked, install={}, problem=problem
        ) from None


def _pipe() -> tuple[Descriptor, Descriptor]:
    """The reading and the writing end, above the standard descriptors, which this process may have closed."""
    reading, writing = os.pipe()
    try:
        return Descriptor(reading), Descriptor(writing)
    except BaseException:
        os.close(writing)
        raise


def answers(instance: Instance, state: State, wait: float, most: float = 2.0) -> bool:
    """Whether the instance that `state` tells of still serves: its processes live, and it answers its ping.

    It is pinged until `wait` seconds have passed; one ping lasts `most` seconds at most.
    """
    if state.phase != READY or not lives(instance, state):
        return False
    deadline = time.monotonic() + wait
    while not responds(state, min(most, wait)):
        if time.monotonic() > deadline or not lives(instance, state):
            return False
        time.sleep(0.01)
    return True


def responds(state: State, wait: float) -> bool:
    """Whether the service answers its ping within `wait` seconds."""
    return probes.run_probe(state.ping or {"kind": "running"}, state.host, state.port, wait=wait) is not None


def is_kept(instance: Instance, state: State) -> bool:
    """Whether its keeper is there, whatever became of the server: by its lock, or by a record of this PID namespace
    where the file that it locked was replaced."""
    return instance.is_kept(state.id) or _is_recorded_alive(instance, state.id)


def is_attended(instance: Instance, id: str) -> bool:
    """Whether its keeper or its watchdog is there, by the same."""
    return instance.is_attended(id) or _is_recorded_alive(instance, id)


def _is_recorded_alive(instance: Instance, id: str) -> bool:
    processes = instance.processes(id)
    return processes is not None and processes.origin.is_here() and pids.alive(processes.keeper)


def lives(instance: Instance, state: State) -> bool:
    """Whether keeper and server are there: the keeper by its lock; the server by id and start, where those are known
    and of this PID namespace."""
    if not is_kept(instance, state):
        return False
    processes = instance.processes(state.id)
    if processes is None or processes.server is None or not processes.origin.is_here():
        return True
    return pids.alive(processes.server)


def runs_elsewhere(instance: Instance, state: State) -> str | None:
    """Where it runs, in words, if its keeper or watchdog lives in another PID namespace: nothing here can end it."""
    deadline = time.monotonic() + RECORD_TIME
    while instance.is_attended(state.id):
        place = instance.place(state.id)
        if place is not None:
            return None if place.is_here() else place.shown()
        if time.monotonic() > deadline:
            return "an unknown place: its record of processes is damaged"
        time.sleep(0.005)
    return None


def wait_gone(instance: Instance, id: str, processes: Processes | None, seconds: float) -> bool:
    """Whether the instance and its processes are gone within `seconds`. False as well: it was joined again."""
    deadline = time.monotonic() + seconds
    here = (processes.guard, processes.keeper) if processes is not None and processes.origin.is_here() else ()
    for process in here:
        while not pids.wait_gone(process, 0.05):
            if time.monotonic() > deadline or instance.is_used(id):
                return False
    while not here and instance.is_attended(id):
        if time.monotonic() > deadline or instance.is_used(id):
            return False
        time.sleep(0.01)
    for process in here:
        pids.reap(process)
    pids.reap_keepers()
    return not instance.directory(id).exists()


def clear(instance: Instance, state: State) -> None:
    """End and remove an instance that is of no use any more. The caller holds the key's lock.

    Only processes of this PID namespace and boot are signalled. Raises HomeError, and removes nothing, while its
    keeper lives in another one.
    """
    if place := runs_elsewhere(instance, state):
        problem = f"its keeper lives in {place}, and cannot be ended from here"
        raise HomeError(path=str(instance.directory(state.id)), problem=problem, cure="run `servicectx down` there")
    processes, kept = instance.processes(state.id), instance.keeps_data(state.id)
    ended = False
    known = (processes.keeper, processes.guard, processes.server) if processes is not None else ()
    if processes is not None and processes.origin.is_here():
        family = pids.family(processes.server)
        ended = pids.alive(processes.keeper)
        pids.send(processes.keeper, signal.SIGTERM)
        if not pids.wait_gone(processes.keeper, KEEP_GRACE if kept else GRACE):
            pids.send(processes.keeper, signal.SIGKILL)
            pids.wait_gone(processes.keeper, GRACE)
            ended = False
        if not pids.wait_gone(processes.server, GRACE):
            pids.send(processes.server, signal.SIGKILL)
            pids.wait_gone(processes.server, GRACE)
            for worker in family:  # one that was stopped does not see its server's end
                pids.send(worker, signal.SIGKILL)
        pids.wait_gone(processes.guard, 0.2)  # it goes with its keeper, unless that was killed and it wants the lock
    if not ended:  # nobody else knows what ran below its server, or beside it
        process_marks.end(instance.directory(state.id), spared=known)
        after_kill.run(instance.directory(state.id))
    for process in known:
        pids.reap(process)
    step("clearing")
    instance.remove(state, keep_data=kept)


def sweep(home: Path, but: str, roots: Iterable[Path] = ()) -> None:
    """Clear what the dead left under other keys, and their data in `roots`: no lease is held, and neither keeper nor
    watchdog holds its lock. What another process is at work on is left to it."""
    for key in names.keys(os.listdir(home), *OF_INSTANCES) - {but}:
        instance = Instance(home, key)
        with contextlib.suppress(HomeError, OSError):  # what cannot be cleared must not fail another key's start
            if is_in_use(instance):
                continue
            with instance.locked() as locked:
                if locked:
                    clear_dead(instance)
    for found in unowned(home, roots):
        if not found.in_use and not (found.record and found.record.kept):
            container.remove(found.path, wait=0.0)
    forget_places(home)


def noted_places(home: Path) -> dict[Path, str]:
    """The places of data in directories of the caller's that outlived their instances, and the names of the notes."""
    found = {}
    for name in os.listdir(home):
        if names.key_of(name, names.PLACE):
            with contextlib.suppress(reading.Unreadable, ValueError, TypeError, RecursionError):
                path = Path(json.loads(reading.read_text(home / name, 65536) or ""))
                if f"{path.name}.data" == name:
                    found[path] = name
    return found


def forget_places(home: Path) -> None:
    """Remove the notes about data that are gone."""
    for path, name in noted_places(home).items():
        if not os.path.lexists(path) and (found := marked.existing(home, marked.HOME)) is not None:
            with found:
                found.remove(name)


def clear_dead(instance: Instance) -> None:
    """Remove all instances of the key that are dead. The caller holds the key's lock."""
    state = current(instance)
    states = [state, *map(instance.own_copy, instance.ids())]
    for each in {state.id: state for state in states if state is not None}.values():
        if not instance.is_used(each.id) and not is_attended(instance, each.id):
            clear(instance, each)


def is_in_use(instance: Instance) -> bool:
    """Whether any of its instances is used or attended. A look without the key's lock, so that nobody waits for it."""
    return any(is_attended(instance, id) or instance.is_used(id) for id in instance.ids())


def unowned(home: Path, roots: Iterable[Path]) -> Iterator[container.Found]:
    """The data in `roots` that belong to this home, and to no instance in it any more."""
    inode = container.inode(home)
    for root in roots:
        for found in container.scan(root):
            if (home / found.path.name).exists():
                continue
            if found.record is not None and found.record.home_inode == inode:
                yield found


def current(instance: Instance) -> State | None:
    """The state, from the instance's own copy where the state file is lost or damaged. Under the key's lock."""
    try:
        state = instance.look()
    except StateError:
        state = None
    return state if state is not None and instance.directory(state.id).exists() else instance.recover()
