"""Display of starts: a live line for each service on a terminal; elsewhere a line for each when it has started."""

import contextlib
from collections.abc import Iterator

from servicectx._managed_all import ManagedAll
from servicectx.cli import console
from servicectx.cli.selection import Member
from servicectx.system import progress


@contextlib.contextmanager
def started(members: list[Member], quiet: bool = False) -> Iterator[None]:
    """Enter all members for the block. Their starts run side by side, and are shown on stderr."""
    terminal = None if quiet else console.terminal(stderr=True)
    progress.silent = True
    with contextlib.ExitStack() as stack:
        services = ManagedAll([member.managed for member in members], {})
        if terminal is None:
            stack.enter_context(services)
            if not quiet:
                for member in members:
                    console.note(f"{member.role}: {outcome(member)}")
        else:
            from rich.live import Live

            from servicectx.cli.start_lines import StartLines

            with Live(StartLines(members, outcome), console=terminal, refresh_per_second=12, transient=False):
                stack.enter_context(services)
        yield


def outcome(member: Member) -> str:
    """Short text: address, version, and whether the service was started or joined."""
    managed = member.managed
    details = managed.details
    assert details is not None
    address = f"{details.host}:{details.port}"
    if managed.external:
        return f"{address}, details from outside"
    origin = "joined, it was running" if managed.joined else f"started in {managed.took:.1f} s"
    version = getattr(details, "version", None)
    return f"{address}, {f'version {version}, ' if version else ''}{origin}"
