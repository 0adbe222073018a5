"""Whether an instance lives, answers, and where it runs."""

from servicectx.state.instance import Instance
from servicectx.state.record import READY, Processes, State, StateError
from servicectx.system import processes as pids
from servicectx.system.originals import time

RECORD_TIME = 2.0  # seconds between the lock of a process and its record


def answers(instance: Instance, state: State, wait: float, most: float = 2.0) -> bool:
    """Whether the instance serves: its processes live, and the service answers its ping within `wait` seconds.

    One ping lasts `most` seconds at most.
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
    from servicectx.keeper import probes

    return probes.run_probe(state.ping or {"kind": "running"}, state.host, state.port, wait=wait) is not None


def keeper_lives(instance: Instance, state: State) -> bool:
    """Whether the keeper lives: it holds its lock, or a record of this PID namespace names it.

    The record counts where the locked file was replaced.
    """
    return instance.keeper_holds_lock(state.id) or _is_recorded_alive(instance, state.id)


def is_attended(instance: Instance, id: str) -> bool:
    """Whether the keeper or the watchdog of the instance lives."""
    return instance.is_attended(id) or _is_recorded_alive(instance, id)


def _is_recorded_alive(instance: Instance, id: str) -> bool:
    processes = instance.processes(id)
    return processes is not None and processes.origin.is_here() and pids.alive(processes.keeper)


def lives(instance: Instance, state: State) -> bool:
    """Whether keeper and server live. A server is known by process id and start time, in this PID namespace alone."""
    if not keeper_lives(instance, state):
        return False
    processes = instance.processes(state.id)
    if processes is None or processes.server is None or not processes.origin.is_here():
        return True
    return pids.alive(processes.server)


def runs_elsewhere(instance: Instance, state: State) -> str | None:
    """The place of an instance whose keeper or watchdog lives in another PID namespace: no process here can end it.

    None for an instance of this PID namespace, and for one without a keeper.
    """
    deadline = time.monotonic() + RECORD_TIME
    while instance.is_attended(state.id):
        place = instance.place(state.id)
        if place is not None:
            return None if place.is_here() else place.shown()
        if time.monotonic() > deadline:
            return "an unknown place: its record of processes is damaged"
        time.sleep(0.005)
    return None


def wait_removed(instance: Instance, id: str, processes: Processes | None, seconds: float) -> bool:
    """Whether the instance and its processes are gone within `seconds`. False, too, when it was joined again."""
    deadline = time.monotonic() + seconds
    here = (processes.watchdog, processes.keeper) if processes is not None and processes.origin.is_here() else ()
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


def current(instance: Instance) -> State | None:
    """The current state; from the copy of the instance where the state file is lost or damaged.

    The caller holds the key's lock.
    """
    try:
        state = instance.look()
    except StateError:
        state = None
    return state if state is not None and instance.directory(state.id).exists() else instance.recover()
