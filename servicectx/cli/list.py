"""`servicectx list`: services that can be started here."""

from typing import Any, NamedTuple

import click
from rich.table import Table
from rich.text import Text

from servicectx import BinaryNotFound, ServiceCtxError
from servicectx.cli import console
from servicectx.cli.app import debug_option
from servicectx.request import config
from servicectx.services import registry


class Known(NamedTuple):
    """A service and its program on this machine. `problem` says why there is none."""

    service: str
    found: bool
    program: str | None
    version: str | None
    problem: str | None
    install: dict[str, str]


@click.command(
    epilog="""\b
Examples:
  servicectx list
  servicectx list --json | jq -r '.[] | select(.found) | .service'
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@debug_option
def command(as_json: bool) -> None:
    """Show the services that managed() knows, whether their program was found here, where, and which version; and the
    services that this project names.
    """
    every = [known(name) for name in registry.names()]
    if as_json:
        console.say_json([each._asdict() for each in every])
        return
    terminal = console.terminal()
    if terminal is None:
        rows = [[each.service, *_cells(each)] for each in every]
        console.say(console.plain(["SERVICE", "VERSION", "PROGRAM"], rows))
    else:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for title in ("SERVICE", "VERSION", "PROGRAM"):
            table.add_column(title, overflow="fold", no_wrap=title != "PROGRAM")
        for each in every:
            version, program = _cells(each)
            table.add_row(Text(each.service, "bold" if each.found else "dim"), version, Text(program, _style(each)))
        terminal.print(table)
    for line in _named():
        console.say(line)


def known(name: str) -> Known:
    """A service as this machine has it, found with its default options."""
    service = registry.find(name)
    try:
        program = service.program(service.options({}))
    except BinaryNotFound as error:
        return Known(name, False, None, None, str(error), dict(error.install or {}))
    except ServiceCtxError:  # it cannot tell without options: any program will do
        return Known(name, True, None, None, None, {})
    return Known(name, True, program, service.version(program), None, {})


def cures(install: dict[str, str]) -> list[str]:
    """The commands that install a program; where there are none, the first word on what else helps."""
    return [cure for cure in install.values() if not cure.startswith("not ")] or list(install.values())[:1]


def _cells(each: Known) -> list[str]:
    if each.program is None and each.found:
        return ["-", "any program"]
    if each.program is None:
        return ["-", f"not found; {next(iter(cures(each.install)), 'see servicectx doctor')}"]
    return [each.version or "?", each.program]


def _style(each: Known) -> Any:
    return "" if each.found else "yellow"


def _named() -> list[str]:
    """What the project's files name."""
    lines = []
    for name in config.names():
        entry = config.find(name)
        if entry is not None:
            lines.append(f"{name} = {entry.service}, from {entry.path}")
    return ["", *lines] if lines else []
