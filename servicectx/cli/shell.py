"""`servicectx shell`: the service's own client, with all connection arguments."""

import os

import click

from servicectx.cli import child_process, variables
from servicectx.cli.app import Failed, debug_option
from servicectx.cli.command_watchdog import CommandWatchdog
from servicectx.cli.instances import choose, name_argument, scope_option
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
    """Open the client of a service, such as psql or valkey-cli, on a running instance. The client holds the instance.

    Further arguments are passed to the client, and its exit status is passed through. If the client is not installed,
    the error names the package.
    """
    (instance,) = choose((name,), scope, current=True)
    details = instance.details()
    client = instance.service.client(details) if instance.service else None
    if client is None:
        raise Failed(f"{instance.state.service} has no client of its own; its address: {details.url}")
    program = binaries.find_as_written(client.search)
    watchdog = CommandWatchdog()
    claim = instance.hold()
    try:
        command_line = [program, *client.arguments, *arguments]
        # etcdctl refuses a value that is given as an argument and in the environment.
        names = details.env()
        before = {name: value for name, value in os.environ.items() if name not in names}
        status = child_process.run(command_line, variables.combined(before, [details], client.environment), watchdog)
    finally:
        claim.leave()
        watchdog.dismiss()
    raise SystemExit(status)
