"""The check of chosen ports before a start: the service has them, and no other program does."""

import os
from typing import Any

from servicectx.errors import HomeError, InvalidOption, PortInUse
from servicectx.request.address import HIGHEST
from servicectx.request.key import scope_text
from servicectx.request.request import Request
from servicectx.services.plan import Plan, listens_on_port
from servicectx.state import names, paths
from servicectx.state.instance import Instance
from servicectx.state.record import State, StateError
from servicectx.system import processes


def check(request: Request[Any], plan: Plan) -> None:
    """Raise InvalidOption for ports that the service does not have; PortInUse, StartFailed for ports it cannot get."""
    address = request.address
    if not address.port and not address.ports:
        return
    from servicectx.keeper import chosen_ports

    for name in address.ports:
        if name not in plan.ports.extra:
            raise _invalid(request, "ports", _unknown(name, plan))
    if address.port and not listens_on_port(plan):
        raise _invalid(request, "port", f"with these options {plan.service} listens on no port")
    chosen = chosen_ports.by_position(plan, address.port, address.ports)
    numbers = chosen_ports.all_of(plan, chosen)
    if max(numbers) > HIGHEST:
        after = plan.ports.consecutive
        problem = f"the service also takes the {after} ports after it: use at most {HIGHEST - after}"
        raise _invalid(request, "port", problem)
    if twice := [number for number in numbers if numbers.count(number) > 1]:
        reason = f" ({plan.service} also takes the port after `port`)" if plan.ports.consecutive else ""
        raise _invalid(request, "ports", f"{twice[0]} is chosen for two ports{reason}")
    if error := chosen_ports.problem(plan, request.name, chosen):
        raise with_instance(error, request) if isinstance(error, PortInUse) else error


def with_instance(error: PortInUse, request: Request[Any]) -> PortInUse:
    """The error with the instance of this home that has the port, if there is one, and the command that stops it."""
    from servicectx.keeper.chosen_ports import ANOTHER

    found = _instance_with(error.pid, error.port)
    if found is None:
        return error
    instance, state = found
    same = request.scope != "private" and state.scope == scope_text(request.scope)
    stop = state.name if same and state.scope.startswith("project:") else instance.key
    holder = f"the instance {state.name!r} ({state.service}) of {_shown(state.scope)}"
    process = f"process {error.pid} ({error.owner})" if error.pid is not None else "a server of servicectx"
    users = [f"process {user['pid']} ({' '.join(user['command'])[:60]})" for user in instance.users(state.id)]
    cure = f"end {', '.join(users[:3])}, or stop it despite its users with" if users else "stop it with"
    reason = (
        f"the chosen port {error.port} is in use by {process}: {holder}\n"
        f"{cure} `servicectx down {'--force ' if users else ''}{stop}`, {ANOTHER}"
    )
    return PortInUse(**{**error.data, "reason": reason, "instance": instance.key})


def _instance_with(pid: int | None, port: int) -> tuple[Instance, State] | None:
    """The instance of this home with the server `pid`, or with that port."""
    family = set()
    while pid:
        family.add(pid)
        pid = processes.parent(pid)
    try:
        home = paths.home()
        instances = [Instance(home, key) for key in names.keys(os.listdir(home), names.STATE)]
    except (HomeError, OSError):
        return None
    for instance in instances:
        try:
            state = instance.look()
        except (StateError, HomeError):
            continue
        recorded = instance.processes(state.id) if state is not None else None
        server = recorded.server if recorded is not None and recorded.origin.is_here() else None
        if state is not None and (state.port == port or (server is not None and server.pid in family)):
            return instance, state
    return None


def _shown(scope: str) -> str:
    kind, _, rest = scope.partition(":")
    return f"the project {rest}" if kind == "project" else f"the scope {rest or scope!r}"


def _unknown(name: str, plan: Plan) -> str:
    if name == "port":
        return "'port' is not the name of a further port; give port=NUMBER"
    extra = ", ".join(plan.ports.extra)
    known = f"its further ports are: {extra}" if extra else "it has no further ports, only port="
    return f"{name!r} is not a port of {plan.service}; {known}"


def _invalid(request: Request[Any], argument: str, problem: str) -> InvalidOption:
    return InvalidOption(service=request.service.name, option=argument, problem=problem)
