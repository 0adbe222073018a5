"""What a requester does after a restart: record facts that changed, and repeat the readiness check of the service."""

from typing import Any

from servicectx.client.claim import LOCK_TIMEOUT, Claim, look
from servicectx.client.readiness import wait_until_ready
from servicectx.errors import StartTimeout
from servicectx.request.request import Request
from servicectx.state import setup_record
from servicectx.state.record import DIED, READY


def new_details(claim: Claim, request: Request[Any], details: Any, answer: dict[str, Any]) -> Any:
    """The details with the facts of the new server; `details` itself where no fact changed.

    The state file gets changed fields for processes that join later. A keeper of an older version reports no facts.
    """
    facts, state = answer.get("facts"), claim.state
    if facts is None:
        return details
    recorded = state.details or {}
    fields = recorded | request.service.details(request.options, facts, answer["secret"])
    if fields == recorded:
        return details
    claim.state = state._replace(details=fields)
    _record(claim, fields, facts["pid"])
    return request.details(state.host, state.port, fields, setup_record.decode(state.setup))


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
