"""The facts of a server after a restart: recorded by its requester, read by the other users."""

from typing import Any

from servicectx.client.claim import LOCK_TIMEOUT, Claim, look
from servicectx.client.readiness import wait_until_ready
from servicectx.errors import HomeError, StartTimeout
from servicectx.request.request import Request
from servicectx.state.record import DIED, READY
from servicectx.system.originals import json


def record_facts(claim: Claim, request: Request[Any], answer: dict[str, Any]) -> bool:
    """Record the facts of the new server in the claim and the state file. Return whether one of them changed.

    The state file is read by processes that join later. A keeper of an older version reports no facts.
    """
    facts, state = answer.get("facts"), claim.state
    if facts is None:
        return False
    recorded = state.details or {}
    fields = recorded | request.service.details(request.options, facts, answer["secret"])
    if fields == recorded:
        return False
    claim.state = state._replace(details=fields)
    _record(claim, fields, facts["pid"])
    return True


def read_facts(claim: Claim) -> bool:
    """Read the facts that the requester of a restart recorded, into the claim. Return whether one of them changed.

    False, too, where this process cannot read the state file any more, and after the end of the instance.
    """
    try:
        state = look(claim.instance)
    except (OSError, HomeError):
        return False
    if state is None or state.id != claim.state.id or state.details is None:
        return False
    if state.details == json.loads(json.dumps(claim.state.details)):  # as the file has them: lists, no tuples
        return False
    claim.state = claim.state._replace(details=state.details)
    return True


def _record(claim: Claim, fields: dict[str, Any], pid: int) -> None:
    """Write the fields, unless the server was restarted again: then the requester of that restart writes them."""
    instance, id = claim.instance, claim.state.id
    with instance.locked(LOCK_TIMEOUT) as locked:
        state, processes = look(instance), instance.processes(id)
        is_current = processes is not None and processes.server is not None and processes.server.pid == pid
        if locked and is_current and state is not None and state.id == id and state.phase == READY:
            instance.write(state._replace(details=fields))


def check(claim: Claim, request: Request[Any], details: Any, deadline: float, timeout: float) -> None:
    """Repeat the readiness check until it passes.

    Raises StartTimeout after the monotonic time `deadline`; ServiceDied where the server ended meanwhile.
    """

    def timed_out(problem: str) -> StartTimeout:
        return StartTimeout(service=request.service.name, name=request.name, timeout=timeout, waiting_for=problem)

    def interrupt() -> None:
        state = look(claim.instance)
        if state is None or state.id != claim.state.id or state.phase == DIED:
            raise claim.failure()

    wait_until_ready(request, details, deadline, timed_out, interrupt)
