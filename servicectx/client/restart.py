"""The caller's side of `restart()`: write a request for the keeper, wake the keeper, wait for its answer."""

import signal
from typing import Any

from servicectx.client import after_restart, liveness
from servicectx.client.claim import Claim, look
from servicectx.errors import NotSupported, StartTimeout, from_record
from servicectx.request.request import Request
from servicectx.state.record import DIED
from servicectx.state.restart_requests import RestartRequests, Submitted
from servicectx.system import processes as pids
from servicectx.system.checkpoints import step
from servicectx.system.originals import time

REPEAT = 1.0  # seconds until the keeper is woken again
REPORT_TIME = 5.0  # seconds for the keeper's report: the keeper counts the time-out from the end of the old server
PAUSE = 0.005  # seconds between two looks for the answer
EMPTY = "restart(empty=True) starts it again without its data"


def restart(claim: Claim, request: Request[Any], kill: bool, empty: bool, timeout: float) -> bool:
    """Restart the server of a claimed instance, and wait until its probe succeeds. Return whether a fact changed.

    Raises HomeError, NotSupported, ServiceDied, StartTimeout.
    """
    instance, state = claim.instance, claim.state
    if place := liveness.runs_elsewhere(instance, state):
        raise _refusal(request, f"it runs in {place}, and can be restarted only there")
    deadline = time.monotonic() + timeout
    try:
        submitted = RestartRequests(instance.directory(state.id)).submit(
            {"kill": kill, "empty": empty, "timeout": timeout}
        )
    except FileNotFoundError:
        if not claim.alive():
            raise claim.failure() from None
        cure = "an older version of servicectx started it; stop it, and start it again"
        raise _refusal(request, cure) from None
    with submitted:
        step("restart-requested")
        answer = _answer(claim, request, submitted, deadline, timeout)
    if failure := answer.get("failed"):
        error = from_record(failure)
        if isinstance(error, NotSupported) and not error.reason:
            error = _refusal(request, f"{_why_lost(request)}; {EMPTY}")
        raise error
    return after_restart.record_facts(claim, request, answer)


def _answer(
    claim: Claim, request: Request[Any], submitted: Submitted, deadline: float, timeout: float
) -> dict[str, Any]:
    instance, id = claim.instance, claim.state.id
    woken = float("-inf")
    while (answer := submitted.answer()) is None:
        state = look(instance)
        # Without a keeper the watchdog records the death: wait for it, too.
        if state is None or state.id != id or state.phase == DIED or not liveness.is_attended(instance, id):
            raise claim.failure()
        now = time.monotonic()
        if now > deadline + REPORT_TIME:  # the keeper itself reports a late start of the server
            what = "its keeper did not answer the request for a restart"
            raise StartTimeout(service=request.service.name, name=request.name, timeout=timeout, waiting_for=what)
        if now > woken + REPEAT and (processes := instance.processes(id)) is not None:
            pids.send(processes.keeper, signal.SIGUSR1)
            woken = now
        time.sleep(PAUSE)
    return answer


def _why_lost(request: Request[Any]) -> str:
    """The reason why a server cannot keep its data over a restart."""
    service = request.service
    if request.keeps_data(request.program()):
        return "it keeps its data only with keep_data=True"
    return service.volatile.partition(";")[0]


def _refusal(request: Request[Any], reason: str) -> NotSupported:
    return NotSupported(service=request.service.name, name=request.name, operation="restart()", reason=reason)
