"""`servicectx doctor`: look for what is wrong on this machine, and say what cures it."""

import click
from rich.console import Console
from rich.text import Text

from servicectx.cli import console
from servicectx.cli.app import debug_option
from servicectx.cli.asked import complete_service
from servicectx.cli.checks import FINE, WRONG, Finding, machine, programs

MARKS = {FINE: ("ok", "green"), WRONG: ("wrong", "bold red")}


@click.command(
    epilog="""\b
Examples:
  servicectx doctor
  servicectx doctor postgres redis     these must be there
  servicectx doctor --json | jq -r '.[] | select(.result == "wrong") | .cure'
""",
)
@click.argument("services", nargs=-1, metavar="[SERVICE...]", shell_complete=complete_service)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@debug_option
def command(services: tuple[str, ...], as_json: bool) -> None:
    """Check this machine as services would find it: directories, locks, ports, accounts, what the dead left, and the
    program of each service. Everything that is wrong comes with a cure.

    A service that is not installed is only wrong if it is named here, or in the project's pyproject.toml or setup.cfg.
    The exit status is 1 if something is wrong.
    """
    found = [*machine(), *programs(services)]
    if as_json:
        console.say_json([each._asdict() for each in found])
    else:
        terminal = console.terminal()
        width = max(len(each.what) for each in found)
        for each in found:
            _say(each, width, terminal)
    raise SystemExit(1 if any(each.result == WRONG for each in found) else 0)


def _say(each: Finding, width: int, terminal: Console | None) -> None:
    mark, style = MARKS.get(each.result, ("-", "yellow"))
    line = f"{each.what.ljust(width)}  {each.said}"
    if terminal is None:
        console.say(f"{mark:5}  {line}")
    else:
        terminal.print(Text.assemble((f"{mark:5}", style), "  ", line), soft_wrap=True)
    for cure in each.cure.splitlines():
        text = f"{' ' * (9 + width)}{cure}"
        if terminal is None:
            console.say(text)
        else:
            terminal.print(Text(text, "bold" if each.result == WRONG else "dim"), soft_wrap=True)
