"""The ports that the caller chose: the one to bind, and the error for a port that is in use."""

import errno
from pathlib import Path
from typing import Any

from servicectx.errors import PortInUse, ServiceCtxError, StartFailed
from servicectx.keeper import ports
from servicectx.services.plan import HOST, Plan
from servicectx.system import processes

LONGEST_COMMAND = 200  # characters
FIRST_ORDINARY = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
ANOTHER = "or choose another port; without a chosen port the service gets a free one"


def by_position(plan: Plan, port: int | None, extra: dict[str, int]) -> dict[int, int]:
    """The chosen ports by their positions in `[port, *plan.ports.extra]`."""
    positions = {plan.ports.extra.index(name) + 1: number for name, number in extra.items()}
    return positions | ({0: port} if port else {})


def former(plan: Plan, recorded: dict[str, int]) -> dict[int, int]:
    """The ports of an earlier run by their positions; "" is the name of the port of the service itself."""
    return by_position(plan, recorded.get(""), {name: recorded[name] for name in plan.ports.extra if name in recorded})


def free(plan: Plan, wanted: dict[int, int]) -> dict[int, int]:
    """Those of `wanted` that can be bound now."""
    kept: dict[int, int] = {}
    for position, number in wanted.items():
        if all(ports.bind_error(HOST, port) is None for port in all_of(plan, {position: number})):
            kept[position] = number
    return kept


def all_of(plan: Plan, chosen: dict[int, int]) -> list[int]:
    """Every chosen port, with the ports right after the first one that the server takes, too."""
    first = chosen.get(0)
    return [*chosen.values(), *(first + distance for distance in range(1, plan.ports.consecutive + 1) if first)]


def problem(plan: Plan, name: str, chosen: dict[int, int], **facts: Any) -> ServiceCtxError | None:
    """The error for the first chosen port that cannot be bound; None if all can be. `facts`: fields of the error."""
    for port in all_of(plan, chosen):
        error = ports.bind_error(HOST, port)
        dropped = plan.account is not None and not plan.ports.inherits_socket
        if error is None and not (dropped and port < _first_ordinary()):
            continue
        if error is None or error.errno in (errno.EACCES, errno.EPERM):
            return StartFailed(service=plan.service, name=name, reason=_forbidden(port, plan.account), **facts)
        if error.errno == errno.EADDRINUSE:
            return in_use(plan.service, name, port, **facts)
        reason = f"the chosen port {port} cannot be bound: {error.strerror}"
        return StartFailed(service=plan.service, name=name, reason=reason, **facts)
    return None


def in_use(service: str, name: str, port: int, **facts: Any) -> PortInUse:
    """The error for a chosen port that another program has. It names the process where this user can see it."""
    pid, command, seen = holder(port)
    reason = f"the chosen port {port} is in use by {seen}, {ANOTHER}"
    return PortInUse(service=service, name=name, reason=reason, port=port, pid=pid, owner=command, **facts)


def holder(port: int) -> tuple[int | None, str | None, str]:
    """The process that has a port, its command line, and a text that names it and begins the cure."""
    pid = ports.owner(port)
    if pid is None:
        return None, None, f"a process that this user cannot see\nfind it as root: ss -tanp 'sport = :{port}'"
    command = command_of(pid)
    return pid, command, f"process {pid} ({command})\nend that process"


def command_of(pid: int) -> str:
    """The command line of a process, shortened."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        words = []
    text = " ".join(word.decode(errors="replace") for word in words) or processes.name(pid) or "an unknown program"
    return text if len(text) <= LONGEST_COMMAND else f"{text[:LONGEST_COMMAND]}..."


def _forbidden(port: int, account: str | None) -> str:
    first = _first_ordinary()
    runner = f"the server runs as {account}, and " if account else ""
    return (
        f"{runner}the chosen port {port} is reserved for root: ports below {first} need a privilege\n"
        f"choose a port from {first} on, or permit it as root: sysctl net.ipv4.ip_unprivileged_port_start={port}"
    )


def _first_ordinary() -> int:
    """The first port that every account can bind."""
    try:
        return int(FIRST_ORDINARY.read_text())
    except (OSError, ValueError):
        return 0  # such as macOS, where every account can bind each port
