"""The removal of instances: one that is stale, and all that dead processes left."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from servicectx.client import liveness
from servicectx.errors import HomeError
from servicectx.keeper import after_kill, process_marks
from servicectx.state import container, marked, names, presence
from servicectx.state.instance import Instance
from servicectx.state.instance_files import KEEPER
from servicectx.state.record import State
from servicectx.system import processes as pids
from servicectx.system import reading
from servicectx.system.checkpoints import step

OF_INSTANCES = (names.LOCK, names.STATE, names.TEMPORARY, names.INSTANCE)
GRACE = 3.0  # seconds for a keeper to end, before it is killed
KEEP_GRACE = 120.0  # seconds for a keeper to end whose server writes data that stay


def clear(instance: Instance, state: State) -> None:
    """End and remove an instance. The caller holds the key's lock.

    Only processes of this PID namespace and boot are signalled. Raises HomeError, and removes nothing, while the
    keeper lives in another PID namespace.
    """
    if place := liveness.runs_elsewhere(instance, state):
        problem = f"its keeper lives in {place}, and cannot be ended from here"
        raise HomeError(path=str(instance.directory(state.id)), problem=problem, cure="run `servicectx down` there")
    processes, kept = instance.processes(state.id), instance.keeps_data(state.id)
    ended = False
    known = (processes.keeper, processes.watchdog, processes.server) if processes is not None else ()
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
        pids.wait_gone(
            processes.watchdog, 0.2
        )  # it ends with its keeper, except when that was killed: then it waits for the lock
    if not ended:  # the keeper did not end the processes below and beside its server
        process_marks.end(instance.directory(state.id), spared=known)
    data = Path(state.data_directory or "")
    if instance.made_data(state) or not presence.is_held(data / container.LOCK):  # another instance may run on it
        after_kill.run(instance.directory(state.id))  # without effect where the keeper did it
    for process in known:
        pids.reap(process)
    step("clearing")
    instance.remove(state, keep_data=kept)


def sweep(home: Path, exclude: str, roots: Iterable[Path] = ()) -> None:
    """Remove dead instances of all keys except `exclude`, and their data in `roots`.

    An instance is dead when no process holds a lease, and neither keeper nor watchdog holds its lock. A key whose lock
    is held is skipped. A live instance of another key costs one look at the lock of its keeper, since a user may have
    hundreds of them.
    """
    others = names.ids(os.listdir(home), *OF_INSTANCES)
    others.pop(exclude, None)
    for key, ids in others.items():
        if any(presence.is_held(f"{home}/{key}.{id}/{KEEPER}") for id in ids):
            continue
        instance = Instance(home, key)
        with contextlib.suppress(HomeError, OSError):  # a fault there must not fail the start of another key
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
    """Data directories that outlived their instances in directories that a caller named: each with its note's name."""
    found = {}
    for name in os.listdir(home):
        if names.key_of(name, names.PLACE):
            with contextlib.suppress(reading.Unreadable, TypeError):
                path = Path(reading.read_json(home / name, 65536))
                if f"{path.name}.data" == name:
                    found[path] = name
    return found


def forget_places(home: Path) -> None:
    """Remove the notes about data directories that no longer exist."""
    for path, name in noted_places(home).items():
        if not os.path.lexists(path) and (found := marked.existing(home, marked.HOME)) is not None:
            with found:
                found.remove(name)


def clear_dead(instance: Instance) -> None:
    """Remove all dead instances of the key. The caller holds the key's lock."""
    state = liveness.current(instance)
    states = [state, *map(instance.own_copy, instance.ids())]
    for found in {state.id: state for state in states if state is not None}.values():
        if not instance.is_used(found.id) and not liveness.is_attended(instance, found.id):
            clear(instance, found)


def is_in_use(instance: Instance) -> bool:
    """Whether an instance of the key is used or attended. The key's lock is not taken."""
    return any(liveness.is_attended(instance, id) or instance.is_used(id) for id in instance.ids())


def unowned(home: Path, roots: Iterable[Path]) -> Iterator[container.Found]:
    """The data directories in `roots` that belong to this home and to no instance in it."""
    inode = container.inode(home)
    owned = frozenset(os.listdir(home))
    for root in roots:
        for found in container.scan(root, owned):
            if (home / found.path.name).exists():
                continue
            if found.record is not None and found.record.home_inode == inode:
                yield found
