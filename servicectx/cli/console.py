"""Output: results on stdout, notes on stderr; colours and tables for terminals, plain text elsewhere."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def terminal(stderr: bool = False) -> "Console | None":
    """A console where the stream is a terminal; None for plain text. rich evaluates `NO_COLOR` and `TERM`.

    rich is imported only for a terminal, here and in the modules that draw: that halves the imports of a command.
    """
    if not (sys.stderr if stderr else sys.stdout).isatty():
        return None
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def say(text: str = "") -> None:
    click.echo(text)


def note(text: str) -> None:
    click.echo(text, err=True)


def say_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, default=str))


def plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns for scripts and logs: aligned, never cut, without trailing spaces."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(text.rstrip() for text in texts)


def styled(text: str, style: str) -> "Text":
    from rich.text import Text

    return Text(text, style=style)


def age(seconds: float) -> str:
    """A rounded duration, in at most seven letters."""
    if seconds == float("inf"):
        return "forever"
    for unit, length, finer, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= length:
            rest = int(seconds % length // part)
            return f"{int(seconds // length)}{unit}" + (f"{rest}{finer}" if rest else "")
    return f"{max(0, int(seconds))}s"


def size(count: int | None) -> str:
    """A size with its unit; "-" if it is unknown."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
