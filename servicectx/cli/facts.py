"""What can be said of one instance, as plain data."""

import time
from typing import Any, NamedTuple

from servicectx.cli import console
from servicectx.cli.chosen import scope_shown
from servicectx.client.inventory import Running
from servicectx.state.record import FAILED, READY


class Facts(NamedTuple):
    """One line of `servicectx status`, and one object of `--json`."""

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
    key: str
    log: str
    keeps_data: bool


def of(each: Running) -> Facts:
    state, users = each.state, each.users()
    linger = each.linger()
    phase, waits_for = _state(each, users, linger)
    return Facts(
        name=state.name,
        service=state.service,
        version=(state.details or {}).get("version"),
        scope=scope_shown(state.scope),
        address=f"{state.host}:{state.port}" if state.port else None,
        state=phase,
        age=round(time.time() - state.since, 1),
        memory=each.memory(),
        data=each.data_size(),
        holders=users,
        waits_for=waits_for,
        linger=None if linger == float("inf") else linger,
        key=each.key,
        log=str(each.log),
        keeps_data=each.kept_data() is not None,
    )


def _state(each: Running, users: list[dict[str, Any]], linger: float) -> tuple[str, str | None]:
    """The phase for people, and what it is going to wait for in it."""
    phase = each.state.phase
    if place := each.elsewhere():
        return "elsewhere", f"it runs in {place}"
    if phase == READY and not each.lives():
        return "dead", "whoever asks for it next starts it anew"
    if phase == READY and not each.answers():
        return "silent", "its answer: the server runs and says nothing"
    if phase == READY and users:
        return "in use", None
    if phase == READY:
        if linger == float("inf"):
            return "up", "servicectx down"
        return "up", f"a user; it ends when it had none for {console.age(linger)}"
    if phase == FAILED or each.state.failure:
        failure = (each.state.failure or {}).get("data", {})
        return phase, str(failure.get("reason") or failure.get("waiting_for") or failure.get("problem") or "")
    if phase == "starting":
        return phase, None if not each.starter_lives() else each.instance.holder()
    return phase, each.instance.holder()
