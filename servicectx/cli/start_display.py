"""Display of starts: a live line for each service on a terminal; elsewhere a line for each when it has started."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

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
            with Live(_Lines(members), console=terminal, refresh_per_second=12, transient=False):
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


class _Lines:
    """Live lines of the starts. rich renders this object several times a second."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.began = time.monotonic()
        self.spinner = Spinner("dots")

    def __rich_console__(self, terminal: Console, options: Any) -> Iterator[Any]:
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="ellipsis", no_wrap=True)
        for member in self.members:
            if member.managed.details is not None and member.managed.took:
                table.add_row(Text("✓", "green"), Text(member.role, "bold"), Text(outcome(member)))
            else:
                waited = f"starting {time.monotonic() - self.began:.1f} s"
                table.add_row(self.spinner, Text(member.role, "bold"), Text(waited, "dim"))
        yield table
