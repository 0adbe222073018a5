"""`servicectx list`: services that can be started here."""

from typing import Any, NamedTuple

import click

from servicectx import BinaryNotFound, ServiceCtxError
from servicectx.cli import console
from servicectx.cli.app import debug_option
from servicectx.cli.selection import complete_service
from servicectx.cli.servers import servers_of
from servicectx.request import config
from servicectx.services import registry, version_choice


class Known(NamedTuple):
    """A service and its program on this machine. `problem`: the reason why there is no program."""

    service: str
    found: bool
    program: str | None
    version: str | None
    problem: str | None
    install: dict[str, str]
    reason: str | None = None  # why this program was chosen


@click.command(
    epilog="""\b
Examples:
  servicectx list
  servicectx list postgres            every server found, its version and its extensions
  servicectx list --json | jq -r '.[] | select(.found) | .service'
""",
)
@click.argument("services", nargs=-1, metavar="[SERVICE...]", shell_complete=complete_service)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@debug_option
def command(services: tuple[str, ...], as_json: bool) -> None:
    """Show all services with the path and version of their programs on this machine, and the services that this
    project names. With SERVICE: show every server of it that is found here, and which one runs, and why.
    """
    if services:
        servers_of(services, as_json)
        return
    _all(as_json)


def _all(as_json: bool) -> None:
    services = [known(name) for name in registry.names()]
    if as_json:
        console.say_json([service._asdict() for service in services])
        return
    terminal = console.terminal()
    if terminal is None:
        rows = [[service.service, *_cells(service)] for service in services]
        console.say(console.plain(["SERVICE", "VERSION", "PROGRAM"], rows))
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for title in ("SERVICE", "VERSION", "PROGRAM"):
            table.add_column(title, overflow="fold", no_wrap=title != "PROGRAM")
        for service in services:
            version, program = _cells(service)
            name = Text(service.service, "bold" if service.found else "dim")
            table.add_row(name, version, Text(program, _style(service)))
        terminal.print(table)
    for line in _named():
        console.say(line)


def known(name: str, options: dict[str, Any] | None = None) -> Known:
    """A service and its installed program, found with `options`, by default with the default options."""
    service = registry.find(name)
    given = service.options(options or {})
    try:
        program = service.program(given)
    except BinaryNotFound as error:
        return Known(name, False, None, None, str(error), dict(error.install or {}))
    except ServiceCtxError:  # the program depends on options, so any program will do
        return Known(name, True, None, None, None, {})
    reason = version_choice.reason(service, given, program)
    return Known(name, True, program, service.version(program), None, {}, reason)


def install_commands(install: dict[str, str]) -> list[str]:
    """The commands that install a program; if there are none, the first hint instead."""
    return [text for text in install.values() if not text.startswith("not ")] or list(install.values())[:1]


def _cells(service: Known) -> list[str]:
    if service.program is None and service.found:
        return ["-", "any program"]
    if service.program is None:
        return ["-", f"not found; {next(iter(install_commands(service.install)), 'see servicectx doctor')}"]
    return [service.version or "?", service.program]


def _style(service: Known) -> Any:
    return "" if service.found else "yellow"


def _named() -> list[str]:
    """The services that the project's files name."""
    lines = []
    for name in config.names():
        entry = config.find(name)
        if entry is not None:
            lines.append(f"{name} = {entry.service}, from {entry.path}")
    return ["", *lines] if lines else []
