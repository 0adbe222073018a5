"""Status of one instance, as plain data."""

import time
from typing import Any, NamedTuple

from servicectx.cli import console
from servicectx.cli.instances import scope_shown
from servicectx.client.inventory import Running
from servicectx.state import setup_record
from servicectx.state.persistent import Found
from servicectx.state.record import FAILED, READY
from servicectx.system import memory


class InstanceStatus(NamedTuple):
    """A row of `servicectx status`, and an object of `--json`. The field names are the JSON keys."""

    name: str
    service: str
    version: str | None
    scope: str
    address: str | None
    state: str
    age: float
    memory: int | None
    data: int | None
    holders: list[dict[str, Any]]
    waits_for: str | None
    linger: float | None
    key: str | None
    log: str | None
    keeps_data: bool
    persistent: str | None  # the directory of persistent data
    setup: dict[str, Any] | None  # names, hash, ran, restored

    @property
    def setup_text(self) -> str | None:
        """The set-up for people, with the time since it ran."""
        record = setup_record.decode(self.setup)
        if record is None or record.ran is None:
            return record and record.label
        origin = ", from a snapshot" if record.restored else ""
        return f"{record.label}, {console.age(max(0.0, time.time() - record.ran))} ago{origin}"


def of(instance: Running) -> InstanceStatus:
    state, users = instance.state, instance.users()
    linger = instance.linger()
    phase, waits_for = _state(instance, users, linger)
    return InstanceStatus(
        name=state.name,
        service=state.service,
        version=(state.details or {}).get("version"),
        scope=scope_shown(state.scope),
        address=f"{state.host}:{state.port}" if state.port else None,
        state=phase,
        age=round(time.time() - state.since, 1),
        memory=instance.memory(),
        data=instance.data_size(),
        holders=users,
        waits_for=waits_for,
        linger=None if linger == float("inf") else linger,
        key=instance.key,
        log=str(instance.log),
        keeps_data=instance.kept_data() is not None,
        persistent=state.data_directory if instance.persistent() else None,
        setup=instance.setup and instance.setup._asdict(),
    )


def stopped(found: Found) -> InstanceStatus:
    """The row of persistent data on which no instance of this home runs."""
    record = found.record
    state, event = ("stopped", "servicectx up") if not found.in_use else ("elsewhere", "it runs in another home")
    return InstanceStatus(
        name=record.name,
        service=record.service,
        version=record.server_version,
        scope=scope_shown(record.scope),
        address=None,
        state=state,
        age=round(time.time() - record.since, 1),
        memory=None,
        data=memory.room(found.path),
        holders=[],
        waits_for=event,
        linger=None,
        key=None,
        log=None,
        keeps_data=True,
        persistent=str(found.path),
        setup=record.setup,
    )


def _state(instance: Running, users: list[dict[str, Any]], linger: float) -> tuple[str, str | None]:
    """The phase for display, and the event that ends it."""
    phase = instance.state.phase
    if place := instance.elsewhere():
        return "elsewhere", f"it runs in {place}"
    if phase == READY and not instance.lives():
        return "dead", "its next user, which starts it again"
    if phase == READY and not instance.answers():
        return "silent", "its answer: the server runs and does not respond"
    if phase == READY and users:
        return "in use", None
    if phase == READY:
        if linger == float("inf"):
            return "up", "servicectx down"
        return "up", f"a user; it ends after {console.age(linger)} without one"
    if phase == FAILED or instance.state.failure:
        failure = (instance.state.failure or {}).get("data", {})
        return phase, str(failure.get("reason") or failure.get("waiting_for") or failure.get("problem") or "")
    if phase == "starting":
        return phase, None if not instance.starter_lives() else instance.instance.holder()
    return phase, instance.instance.holder()
