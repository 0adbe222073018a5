"""`servicectx details`: how to connect to what runs, as JSON."""

import json

import click

from servicectx.cli.app import debug_option
from servicectx.cli.chosen import choose, names_argument, scope_option
from servicectx.cli.console import say_json


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
    """Print the details of an instance, as a details file holds them, password included; of several, by name."""
    chosen = choose(names, scope)
    every = {each.state.name: json.loads(each.details().model_dump_json()) for each in chosen}
    say_json(every if len(chosen) > 1 else next(iter(every.values())))
