"""`servicectx env`: connection details of running instances, as variables."""

import os
from collections.abc import Iterable

import click

from servicectx.cli import env_templates, eval_output, variables
from servicectx.cli.app import debug_option
from servicectx.cli.console import note, say
from servicectx.cli.instances import choose, names_argument, scope_option
from servicectx.client.inventory import Running
from servicectx.request import external


@click.command(
    epilog="""\b
Examples:
  eval "$(servicectx env)"                        bash, zsh
  servicectx env --format fish | source           fish
  servicectx env orders --format dotenv > .env    a file
  servicectx env --json | jq -r .DATABASE_URL
  servicectx env --env 'DSN={orders.sqlalchemy_url}' --format dotenv
""",
)
@names_argument
@scope_option
@click.option(
    "--format",
    "form",
    type=click.Choice(list(variables.FORMATS)),
    default=eval_output.default_format,
    help="Format of the variables; sh unless $SHELL is fish.",
)
@click.option(
    "--env",
    "templates",
    multiple=True,
    metavar="NAME=TEMPLATE",
    help="One more variable, such as 'DSN={postgres.sqlalchemy_url}'. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@debug_option
def command(names: tuple[str, ...], scope: str | None, form: str, templates: tuple[str, ...], as_json: bool) -> None:
    """Print environment variables of this project's instances, or of the named ones, for a shell or a file.

    The variables include passwords. On failure the output is `false`, so that a command after
    `eval "$(servicectx env)" &&` does not run with old variables.
    """
    chosen = choose(names, scope)
    own = env_templates.parse(templates, [instance.state.name for instance in chosen])
    say(written(chosen, "json" if as_json else form, own))


def written(chosen: list[Running], form: str, own: Iterable[env_templates.EnvTemplate] = ()) -> str:
    """The variables of these instances. Lines before them remove variables that lead clients to other servers."""
    found = environment(chosen)
    found |= env_templates.rendered(own, [instance.details() for instance in chosen])
    foreign = variables.foreign([instance.details() for instance in chosen], os.environ, found)
    if foreign and form not in variables.UNSETS:
        note(f"servicectx: unset {' '.join(foreign)} where this is read: they lead clients to other servers")
    return "\n".join([*variables.unset(foreign, form), variables.FORMATS[form](found)])


def environment(chosen: list[Running]) -> dict[str, str]:
    """The variables of these instances. SERVICECTX_NAME_DETAILS is set if the details were written to a file."""
    found, remarks = variables.of(instance.details() for instance in chosen)
    for remark in remarks:
        note(f"servicectx: {remark}")
    files = {external.own_variable(instance.state.name): instance.handed_out() for instance in chosen}
    return found | {name: str(file) for name, file in files.items() if file is not None}
