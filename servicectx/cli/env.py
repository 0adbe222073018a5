"""`servicectx env`: connection details of running instances, as variables."""

import os
from collections.abc import Iterable

import click

from servicectx.cli import env_formats, env_templates, eval_output, private_file, variables
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
  servicectx env --format powershell | Out-String | Invoke-Expression
  servicectx env orders --format dotenv --output .env
  servicectx env --format github >> "$GITHUB_ENV"
  servicectx env --json | jq -r .DATABASE_URL
  servicectx env --env 'DSN={orders.sqlalchemy_url}' --format dotenv
""",
)
@names_argument
@scope_option
@click.option(
    "--format",
    "form",
    type=click.Choice(list(env_formats.FORMATS)),
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
@click.option("--output", metavar="FILE", help="Write the variables to a file with mode 0600, and print nothing.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@debug_option
def command(
    names: tuple[str, ...],
    scope: str | None,
    form: str,
    templates: tuple[str, ...],
    output: str | None,
    as_json: bool,
) -> None:
    """Print environment variables of this project's instances, or of the named ones, for a shell or a file.

    If several instances set the same variable, the first one supplies it: the first named one, or without names the
    first one by name. The table `env` of the project's configuration adds variables by template.

    The variables include passwords. On failure the output is `false`, so that a command after
    `eval "$(servicectx env)" &&` does not run with old variables.
    """
    chosen = choose(names, scope, current=True)
    own = env_templates.parse(templates, [instance.state.name for instance in chosen])
    form = "json" if as_json else form
    text = written(chosen, form, own)
    if output is not None:
        private_file.write(output, text + "\n")
        return
    mode = private_file.readable_by_others(1) if form in env_formats.FILES else None
    if mode is not None:
        note(f"servicectx: the output has passwords, and others can read its file (mode {mode:04o}); use --output FILE")
    say(text)


def written(chosen: list[Running], form: str, own: Iterable[env_templates.EnvTemplate] = ()) -> str:
    """The variables of these instances. Lines before them remove variables that lead clients to other servers."""
    details = [instance.details() for instance in chosen]
    found = environment(chosen)
    of_project, remarks = env_templates.of_project([item.name for item in details])
    for remark in remarks:
        note(f"servicectx: {remark}")
    found |= env_templates.rendered([*of_project, *own], details)
    foreign = variables.foreign(details, os.environ, found)
    if foreign and not env_formats.can_unset(form):
        note(f"servicectx: unset {' '.join(foreign)} where this is read: they lead clients to other servers")
    return "\n".join([*env_formats.unset(foreign, form), env_formats.FORMATS[form](found)])


def environment(chosen: list[Running]) -> dict[str, str]:
    """The variables of these instances. SERVICECTX_NAME_DETAILS is set if the details were written to a file."""
    found, remarks = variables.of(instance.details() for instance in chosen)
    for remark in remarks:
        note(f"servicectx: {remark}")
    files = {external.own_variable(instance.state.name): instance.handed_out() for instance in chosen}
    return found | {name: str(file) for name, file in files.items() if file is not None}
