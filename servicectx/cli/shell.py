"""`servicectx shell`: the service's own client, with everything filled in."""

import os

import click

from servicectx.cli import child, variables
from servicectx.cli.app import Failed, debug_option
from servicectx.cli.chosen import choose, name_argument, scope_option
from servicectx.cli.guard import Guard
from servicectx.services import binaries


@click.command(
    epilog="""\b
Examples:
  servicectx shell postgres
  servicectx shell postgres -- -c 'select 1'
  echo 'select 1' | servicectx shell postgres
""",
)
@name_argument
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENT...]")
@scope_option
@debug_option
def command(name: str, arguments: tuple[str, ...], scope: str | None) -> None:
    """Open psql, valkey-cli or whatever client a service has, on a running instance, and hold that instance meanwhile.

    Further arguments go to the client; its exit status is passed through. Where no client is installed, it says which
    one to install.
    """
    (each,) = choose((name,), scope)
    details = each.details()
    client = each.service.client(details) if each.service else None
    if client is None:
        raise Failed(f"{each.state.service} names no client of its own; it is at {details.url}")
    program = binaries.find_as_written(client.search)
    guard = Guard()
    claim = each.hold()
    try:
        words = [program, *client.arguments, *arguments]
        # What the client gets as an argument must not stand in the environment, too: etcdctl refuses that.
        names = details.env()
        before = {name: value for name, value in os.environ.items() if name not in names}
        status = child.run(words, variables.combined(before, [details], client.environment), guard)
    finally:
        claim.leave()
        guard.dismiss()
    raise SystemExit(status)
