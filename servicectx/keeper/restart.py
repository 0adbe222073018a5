"""The keeper's side of `restart()`: end the server, and start it again on the same ports and the same data."""

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from servicectx.errors import NotSupported, ServiceCtxError, StartTimeout
from servicectx.keeper import chosen_ports, ports, snapshot
from servicectx.keeper.restart_inbox import RestartInbox
from servicectx.keeper.shutdown import LOCK_TIMEOUT
from servicectx.keeper.startup import PortLost
from servicectx.services import plan as plans
from servicectx.state.instance import Instance
from servicectx.system.checkpoints import step
from servicectx.system.originals import time

if TYPE_CHECKING:
    from servicectx.keeper.server import Server
    from servicectx.keeper.startup import Startup

CLEAN_STOP = 30.0  # seconds for a server to write everything and end
KILL_TIME = 10.0  # seconds for the kernel to end a killed server
PORT_PAUSE = 0.05  # seconds until the next try for a port that another program has


def carry_out(
    start: "Startup", inbox: RestartInbox, instance: Instance, is_kept: bool, prepare: Callable[[], None]
) -> None:
    """Carry out the pending requests, and answer them. Raises what `perform` raises, except NotSupported.

    The key's lock is held meanwhile, so no process takes the missing server for a dead one and clears it.
    """
    for request in inbox.pending():
        step("restart-received")
        try:
            if not request.is_valid():
                raise _refusal(start, "its request is damaged, or another version of servicectx wrote it")
            with instance.locked(LOCK_TIMEOUT):
                if not perform(start, request.record, is_kept, prepare):
                    return  # the keeper records the death, and the requester reads it
        except NotSupported as error:
            inbox.answer(request, {"failed": error.record()})
        else:
            inbox.answer(request, {"restarted": True, "facts": start.ready, "secret": start.secret})


def perform(start: "Startup", request: dict[str, Any], is_kept: bool, prepare: Callable[[], None]) -> bool:
    """Restart the server. Return False where it ended by itself before that.

    `prepare` runs right before the server is ended. Raises NotSupported, and then the server still runs; StartFailed,
    StartTimeout where the server did not start again.
    """
    server, plan = start.server, start.plan
    assert server is not None
    support, kill = plan.snapshot, request["kill"]
    lost_by_kill = kill and support is not None and not support.survives_kill
    stays = (is_kept or support is not None) and not lost_by_kill
    if lost_by_kill and not request["empty"]:
        raise _refusal(start, "it writes its data only at a clean end; omit kill=True, or add empty=True")
    if stays and request["empty"]:
        raise _refusal(start, 'its data stays over a restart; omit empty=True, and see isolated() and scope="private"')
    if not stays and not request["empty"]:
        raise _refusal(start, "")
    if stays and not (_is_settled(start, server) and (not kill or _is_flushed(start))):
        if server.exit_status is None:
            raise _refusal(start, f"it did not write its data to disk (within {snapshot.CLEAN_STOP:g} s)")
        return False
    prepare()
    step("restart-ending")
    if kill:
        server.end(KILL_TIME, signal.SIGKILL)
    elif stays:
        server.end(CLEAN_STOP, support.signal if support is not None else signal.SIGTERM)
    start.end()
    if not stays:
        start.data.clear(spare_data=plan.template is not None)
    step("restart-starting")
    start.facts["template_secret"] = support.secret if support is not None else ""
    start.deadline = time.monotonic() + request["timeout"]
    _start_again(start)
    step("restarted")
    return True


def death(error: ServiceCtxError | OSError) -> tuple[str, int | None, str | None]:
    """Reason, exit status and log tail of a server that did not start again."""
    data = error.data if isinstance(error, ServiceCtxError) else {}
    problem = data.get("reason") or data.get("waiting_for") or str(error)
    reason = f"it did not start again when it was restarted: {problem}"
    return reason, data.get("exit_status"), data.get("log_tail")


def _is_settled(start: "Startup", server: "Server") -> bool:
    """As `snapshot.is_settled`. Raises NotSupported for an unexpected error of the probe: the server still runs."""
    try:
        return snapshot.is_settled(start, server)
    except (ServiceCtxError, OSError):
        raise
    except Exception as error:  # the code of a service
        problem = f"the probe that makes it write its data raised {type(error).__name__}: {error}"
        raise _refusal(start, problem) from error


def _is_flushed(start: "Startup") -> bool:
    """Whether a server that is about to be killed has written all that it has in memory alone."""
    support = start.plan.snapshot
    flush = plans.render((support.before_kill if support else None) or {"kind": "running"}, start.facts)
    try:
        return start.probe(flush, snapshot.CLEAN_STOP) is not None
    except Exception:  # noqa: BLE001  # the server refused the connection
        return False


def _start_again(start: "Startup") -> None:
    """Start the server on its former ports. Try until the deadline while another program has one of them."""
    while True:
        try:
            start.run_once()
            return
        except (PortLost, StartTimeout) as error:
            start.end()
            if time.monotonic() > start.deadline:
                if reason := _lost_port(start):
                    raise start.failure(reason) from None
                if isinstance(error, StartTimeout):
                    raise
                raise start.failure("another program had one of its ports during the restart") from None
            time.sleep(PORT_PAUSE)


def _lost_port(start: "Startup") -> str | None:
    """The port of the ended server that another program has now, and that program."""
    for name, port in start.facts.items():
        if name.partition("_")[0] == "port" and port and not ports.is_free(plans.HOST, port):
            seen = chosen_ports.holder(port)[2]
            return f"its port {port} is in use by {seen}, and enter managed() again: the server has ended"
    return None


def _refusal(start: "Startup", reason: str) -> NotSupported:
    """An empty reason is completed by the caller, which knows the service."""
    return NotSupported(service=start.plan.service, name=start.name, operation="restart()", reason=reason)
