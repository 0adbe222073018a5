"""`servicectx doctor`: look for problems on this machine, and print their cures."""

from typing import TYPE_CHECKING

import click

from servicectx.cli import console
from servicectx.cli.app import debug_option
from servicectx.cli.checks import machine, programs
from servicectx.cli.external_checks import external_details
from servicectx.cli.finding import FINE, WRONG, Finding
from servicectx.cli.report_form import form
from servicectx.cli.selection import complete_service

if TYPE_CHECKING:
    from rich.console import Console

MARKS = {FINE: ("ok", "green"), WRONG: ("wrong", "bold red")}


@click.command(
    epilog="""\b
Examples:
  servicectx doctor
  servicectx doctor postgres redis     these must be there
  servicectx doctor --form             for an issue
  servicectx doctor --json | jq -r '.[] | select(.result == "wrong") | .cure'
""",
)
@click.argument("services", nargs=-1, metavar="[SERVICE...]", shell_complete=complete_service)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.option("--form", "as_form", is_flag=True, help="Print Markdown to paste into an issue, with shortened paths.")
@debug_option
def command(services: tuple[str, ...], as_json: bool, as_form: bool) -> None:
    """Check this machine for starts of services: versions, directories, locks, ports, accounts, variables, remains of
    dead instances, details from outside, and the program of each service. Every problem comes with a cure.

    Details from outside are read, and their servers get a connection. Passwords are never shown.

    A missing service is a problem only if it is named here, or in the project's pyproject.toml or setup.cfg. The exit
    status is 1 if there is a problem.
    """
    findings = [*machine(), *external_details(), *programs(services)]
    if as_form:
        console.say(form(findings))
    elif as_json:
        console.say_json([finding._asdict() for finding in findings])
    else:
        terminal = console.terminal()
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            _print(finding, width, terminal)
    raise SystemExit(1 if any(finding.result == WRONG for finding in findings) else 0)


def _print(finding: Finding, width: int, terminal: "Console | None") -> None:
    mark, style = MARKS.get(finding.result, ("-", "yellow"))
    line = f"{finding.what.ljust(width)}  {finding.text}"
    if terminal is None:
        console.say(f"{mark:5}  {line}")
    else:
        from rich.text import Text

        terminal.print(Text.assemble((f"{mark:5}", style), "  ", line), soft_wrap=True)
    for cure in finding.cure.splitlines():
        text = f"{' ' * (9 + width)}{cure}"
        if terminal is None:
            console.say(text)
        else:
            from rich.text import Text

            terminal.print(Text(text, "bold" if finding.result == WRONG else "dim"), soft_wrap=True)
