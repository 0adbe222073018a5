"""The caller's part in a start on persistent data: the place before, the record after."""

import logging
from pathlib import Path
from typing import Any

from servicectx.errors import HomeError, PortInUse
from servicectx.keeper import chosen_ports
from servicectx.request import persistent_data
from servicectx.request.key import program_state, scope_text
from servicectx.request.request import Request
from servicectx.services.plan import Plan
from servicectx.state import persistent, storage
from servicectx.system import faults
from servicectx.system.originals import time

log = logging.getLogger("servicectx")


def place(request: Request[Any], plan: Plan) -> Path:
    """The container of the data, with its parents made. Raises HomeError."""
    found = request.persistent
    assert found is not None
    if found.record is None:
        persistent.make_parent(found.path, plan.account)
        if storage.is_memory(found.path.parent):
            log.warning(
                "the persistent data of %s is in memory and does not survive a reboot: SERVICECTX_DATA leads to %s",
                request.name,
                found.path.parent,
            )
    return found.path


def complete(
    request: Request[Any], program: str, report: dict[str, Any], setup: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Record this run beside the data, which is complete then, and return the record of its set-up. Raises HomeError.

    `setup`: the set-up of this start. It has run only if the data is new.
    """
    found = request.persistent
    assert found is not None
    name, scope = request.name, scope_text(request.scope)
    before = found.record or persistent.new(request.service.name, name, scope, program, "")
    if before.accepts_setup and setup is not None:
        setup = setup | {"ran": time.time(), "restored": False}
    elif found.record is not None:
        setup = before.setup
    record = before._replace(
        program=program,
        program_state=program_state(program),
        server_version=report.get("valkey") or report.get("version") or before.server_version,
        ports=_ports(report),
        setup=setup,
        accepts_setup=before.accepts_setup and setup is None,
    )
    try:
        persistent.complete(found.path, record, found.record)
    except OSError as error:
        cure = "free some space, or set SERVICECTX_DATA to a directory that has some"
        raise faults.home_error(error, "not written", str(found.path)) or HomeError(
            path=str(found.path), problem=f"not written: {error.strerror}", cure=cure
        ) from None
    _warn_of_another_port(request, record.ports)
    return setup


def _ports(report: dict[str, Any]) -> dict[str, int]:
    ports = {name.removeprefix("port").removeprefix("_"): number for name, number in report.items() if _is_port(name)}
    return {name: number for name, number in ports.items() if number}


def _is_port(name: str) -> bool:
    return name == "port" or name.startswith("port_")


def _warn_of_another_port(request: Request[Any], ports: dict[str, int]) -> None:
    """A saved URL leads elsewhere now: name the program that has the former port."""
    former = persistent_data.preferred_ports(request).get("")
    if former and ports.get("") != former and request.address.port is None:
        error = chosen_ports.in_use(request.service.name, request.name, former)
        log.warning("%s listens on port %s now: %s", request.name, ports.get(""), _owner(error))


def _owner(error: PortInUse) -> str:
    holder = f"process {error.pid} ({error.owner})" if error.pid is not None else "another program"
    return f"its former port {error.port} was in use by {holder}"
