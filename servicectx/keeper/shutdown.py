"""The end of an instance in its files: record the death for its users, then remove the instance."""

import signal

from servicectx.errors import HomeError, ServiceDied
from servicectx.state.instance import Instance
from servicectx.state.record import DIED, READY, STOPPING, State, StateError

LOCK_TIMEOUT = 3600.0  # seconds to wait for the key's lock; other processes hold it only for moments


def record_death(
    instance: Instance, id: str, reason: str, exit_status: int | None = None, log_tail: str = ""
) -> State | None:
    """Record the end of the instance, for its present users and for processes that join later."""
    with instance.locked(LOCK_TIMEOUT):
        state = current(instance, id)
        if state is not None:
            death = ServiceDied(
                service=state.service, name=state.name, reason=reason, exit_status=exit_status, log_tail=log_tail
            )
            if state.phase in (READY, STOPPING):
                instance.write_failure(state._replace(phase=DIED, failure=death.record()))
        return state


def remove_when_unused(instance: Instance, id: str) -> None:
    """Wait until no process uses the instance, then remove it."""
    while instance.directory(id).exists():
        instance.wait_until_unused(id)
        with instance.locked(LOCK_TIMEOUT):
            state = current(instance, id)
            if state is None:
                state = instance.own_copy(id)
            if state is None:  # another process removed the instance, except the directory
                instance.remove_directory(id)
            elif not instance.is_used(id):
                instance.remove(state)


def current(instance: Instance, id: str) -> State | None:
    """The state of this instance; None if another instance has the key."""
    try:
        state = instance.look()
    except (StateError, HomeError):
        state = None
    if state is None:
        return instance.own_copy(id)
    return state if state.id == id else None


def exit_text(status: int) -> str:
    """An exit status in words."""
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
