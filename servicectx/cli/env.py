"""`servicectx env`: how to connect to what runs, as variables."""

import os

import click

from servicectx.cli import evaluated, variables
from servicectx.cli.app import debug_option
from servicectx.cli.chosen import choose, names_argument, scope_option
from servicectx.cli.console import note, say
from servicectx.client.inventory import Running
from servicectx.request import external


@click.command(
    epilog="""\b
Examples:
  eval "$(servicectx env)"                        bash, zsh
  servicectx env --format fish | source           fish
  servicectx env orders --format dotenv > .env    a file
  servicectx env --json | jq -r .DATABASE_URL
""",
)
@names_argument
@scope_option
@click.option(
    "--format",
    "form",
    type=click.Choice(list(variables.FORMATS)),
    default=evaluated.default_format,
    help="How to write them; sh unless $SHELL is fish.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@debug_option
def command(names: tuple[str, ...], scope: str | None, form: str, as_json: bool) -> None:
    """Print environment variables of what runs in this project, or of the named instances, for a shell or a file.

    Passwords are among them. Where that fails, the shell gets `false` to evaluate, so that what comes after
    `eval "$(servicectx env)" &&` does not run with old variables.
    """
    chosen = choose(names, scope)
    say(written(chosen, "json" if as_json else form))


def written(chosen: list[Running], form: str) -> str:
    """Their variables in a format, and before them the removal of what leads clients to other servers."""
    found = environment(chosen)
    foreign = variables.foreign([each.details() for each in chosen], os.environ, found)
    if foreign and form not in variables.UNSETS:
        note(f"servicectx: unset {' '.join(foreign)} where this is read: clients would go to other servers")
    return "\n".join([*variables.unset(foreign, form), variables.FORMATS[form](found)])


def environment(chosen: list[Running]) -> dict[str, str]:
    """Their variables; SERVICECTX_NAME_DETAILS for those whose details were written to a file."""
    found, remarks = variables.of(each.details() for each in chosen)
    for remark in remarks:
        note(f"servicectx: {remark}")
    files = {external.own_variable(each.state.name): each.handed_out() for each in chosen}
    return found | {name: str(file) for name, file in files.items() if file is not None}
