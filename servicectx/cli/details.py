"""`servicectx details`: connection details of running instances, as JSON."""

import json

import click

from servicectx.cli.app import debug_option
from servicectx.cli.console import say_json
from servicectx.cli.instances import choose, names_argument, scope_option


@click.command(
    epilog="""\b
Examples:
  servicectx details postgres | jq -r .password
  SERVICECTX_POSTGRES_DETAILS="$(servicectx details postgres)" pytest
""",
)
@names_argument
@scope_option
@debug_option
def command(names: tuple[str, ...], scope: str | None) -> None:
    """Print the details of an instance as in a details file, with the password, its program, and why that program was
    chosen. Several: an object by name.
    """
    chosen = choose(names, scope, current=True)
    every = {instance.state.name: json.loads(instance.details().model_dump_json()) for instance in chosen}
    say_json(every if len(chosen) > 1 else next(iter(every.values())))
