"""Live lines of starts on a terminal."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from servicectx.cli.selection import Member


class StartLines:
    """Live lines of the starts. rich renders this object several times a second."""

    def __init__(self, members: list[Member], outcome: Callable[[Member], str]) -> None:
        self.members = members
        self.outcome = outcome
        self.began = time.monotonic()
        self.spinner = Spinner("dots")

    def __rich_console__(self, terminal: Console, options: Any) -> Iterator[Any]:
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="ellipsis", no_wrap=True)
        for member in self.members:
            if member.managed.details is not None and member.managed.took:
                table.add_row(Text("✓", "green"), Text(member.role, "bold"), Text(self.outcome(member)))
            else:
                waited = f"starting {time.monotonic() - self.began:.1f} s"
                table.add_row(self.spinner, Text(member.role, "bold"), Text(waited, "dim"))
        yield table
