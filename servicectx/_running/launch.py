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

from servicectx._running import pids, plan, probes
from servicectx._sharing.instance import Instance
from servicectx._sharing.state import READY, Processes, State, StateError
from servicectx.errors import HomeError, from_record

GRACE = 3.0  # seconds a keeper has for what it was told, before it is killed
KEEP_GRACE = 120.0  # seconds, where the server writes data that are kept

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
    return not instance.directory(id).exists()


def clear(instance: Instance, state: State) -> None:
    """End and remove an instance that is of no use any more. The caller holds the key's lock."""
    processes, kept = instance.processes(state.id), instance.keeps_data(state.id)
    if processes is not None:
        pids.send(processes.keeper, signal.SIGTERM)
        if not pids.wait_gone(processes.keeper, KEEP_GRACE if kept else GRACE):
            pids.send(processes.keeper, signal.SIGKILL)
        if not pids.wait_gone(processes.server, GRACE):
            pids.send(processes.server, signal.SIGKILL)
            pids.wait_gone(processes.server, GRACE)
        pids.wait_gone(processes.guard, 0.2)  # it goes with its keeper, unless that was killed and it wants the lock
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
    return processes is not None and any(pids.alive(process) for process in processes)
