"""The caller's side of a keeper: spawn it, hand it the plan, hear that the service is usable or why it is not."""

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from servicectx._running import pids, plan, probes
from servicectx._sharing import container, marked, names, reading
from servicectx._sharing.instance import Instance
from servicectx._sharing.state import READY, Processes, State, StateError
from servicectx._sharing.steps import step
from servicectx.errors import HomeError, from_record

OF_INSTANCES = (names.LOCK, names.STATE, names.TEMPORARY, names.INSTANCE)
GRACE = 3.0  # seconds a keeper has for what it was told, before it is killed

_BOOTSTRAP = (
    "import gc, sys; gc.disable(); paths, home, key, id = sys.argv[1:]; sys.path[:] = paths.split(':'); "
    "from servicectx._running.guard import main as keeper; keeper(home, key, id)"
)


class KeeperLost(Exception):
    """The keeper ended without a word: somebody killed it. That is no failure of the service; start again."""


class KeeperSilent(Exception):
    """The keeper lives but says nothing, long after the time it was given."""


class GivenUp(Exception):
    """Whoever waited does not want to any more."""


class Launch:
    """A keeper that was just spawned. It does nothing before `order()`."""

    def __init__(self, instance: Instance, id: str) -> None:
        log = instance.directory(id) / "keeper.log"
        # No -m and no site: a keeper must not pay for the caller's environment, nor run its start-up hooks.
        package = str(Path(__file__).parents[2])
        search = os.pathsep.join(dict.fromkeys([package, *filter(os.path.isabs, sys.path)]))
        command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, search, str(instance.home), instance.key, id]
        environment = {name: value for name, value in os.environ.items() if name != "mirakuru_uuid"}
        orders, self._orders = _pipe()
        self._reports, reports = _pipe()
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                command,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, orders, 0),
                    (os.POSIX_SPAWN_DUP2, reports, 1),
                    (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                ],
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE],
            )
        except BaseException:
            self.close()
            raise
        finally:
            os.close(orders)
            os.close(reports)

    def order(self, what: plan.Plan, **more: str | float | None) -> None:
        """Say what to run: the plan, name, data_directory, timeout (seconds asked for), left (seconds of them),
        snapshot (its name in the cache, or none), cache."""
        self._say({"plan": plan.encode(what), **more})

    def keep_snapshot(self) -> None:
        """Say that the set-up is done. The keeper keeps a copy of the data and reports once more."""
        self._say({"snapshot": True})

    def _say(self, what: dict[str, Any]) -> None:
        text = json.dumps(what).encode() + b"\n"
        try:
            while text:
                text = text[os.write(self._orders, text) :]
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
                raise GivenUp
            if time.monotonic() > deadline + GRACE:
                raise KeeperSilent
            if select.select([self._reports], [], [], 0.1)[0]:
                chunk = os.read(self._reports, 65536)
                if not chunk:
                    raise KeeperLost
                heard += chunk
        report = json.loads(heard)
        if "failed" in report:
            raise from_record(report["failed"])
        facts: dict[str, Any] = report["ready"]
        return facts

    def close(self) -> None:
        for descriptor in (self._orders, self._reports):
            if descriptor >= 0:
                os.close(descriptor)
        self._orders = self._reports = -1
        with contextlib.suppress(ChildProcessError, AttributeError):
            os.waitpid(self._pid, 0)  # it left at once, when it made guard and keeper


def _pipe() -> tuple[int, int]:
    """A pipe above the standard descriptors, which this process may have closed."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends)
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
    if not instance.is_attended(state.id):
        return None
    processes = instance.processes(state.id)
    if processes is None:
        return "an unknown place: its record of processes is damaged"
    return None if processes.origin.is_here() else processes.origin.shown()


def wait_gone(instance: Instance, id: str, processes: Processes | None, seconds: float) -> bool:
    """Whether the instance and its processes are gone within `seconds`. False as well: it was joined again."""
    deadline = time.monotonic() + seconds
    here = processes is not None and processes.origin.is_here()
    for process in (processes.guard, processes.keeper) if processes and here else ():
        while not pids.wait_gone(process, 0.05):
            if time.monotonic() > deadline or instance.is_used(id):
                return False
    while not here and instance.is_attended(id):
        if time.monotonic() > deadline or instance.is_used(id):
            return False
        time.sleep(0.01)
    return not instance.directory(id).exists()


def clear(instance: Instance, state: State) -> None:
    """End and remove an instance that is of no use any more. The caller holds the key's lock.

    Only processes of this PID namespace and boot are signalled. Raises HomeError, and removes nothing, while its
    keeper lives in another one.
    """
    processes, kept = instance.processes(state.id), instance.keeps_data(state.id)
    if place := runs_elsewhere(instance, state):
        problem = f"its keeper lives in {place}, and cannot be ended from here"
        raise HomeError(path=str(instance.directory(state.id)), problem=problem, cure="run `servicectx down` there")
    if processes is not None and processes.origin.is_here():
        pids.send(processes.keeper, signal.SIGTERM)
        if not pids.wait_gone(processes.keeper, GRACE):
            pids.send(processes.keeper, signal.SIGKILL)
            pids.wait_gone(processes.keeper, GRACE)
        if not pids.wait_gone(processes.server, GRACE):
            pids.send(processes.server, signal.SIGKILL)
            pids.wait_gone(processes.server, GRACE)
        pids.wait_gone(processes.guard, 0.2)  # it goes with its keeper, unless that was killed and it wants the lock
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
