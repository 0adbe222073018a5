"""`servicectx down`: stop services that stay."""

import click

from servicectx.cli.app import Failed, debug_option
from servicectx.cli.console import note, say
from servicectx.cli.instances import choose, holders, names_argument, scope_option
from servicectx.client import inventory
from servicectx.client.inventory import Busy, Elsewhere
from servicectx.state import keep_record


@click.command(
    epilog="""\b
Examples:
  servicectx down              all of this project
  servicectx down orders
  servicectx down --scope user
  servicectx down --all --force
""",
)
@names_argument
@click.option("--all", "everything", is_flag=True, help="All instances of this user.")
@scope_option
@click.option("-f", "--force", is_flag=True, help="Stop instances that are in use, too.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@debug_option
def command(names: tuple[str, ...], everything: bool, scope: str | None, force: bool, quiet: bool) -> None:
    """Stop instances: the named ones, else all of this project. Their data is removed, unless keep_data is set.
    Persistent data stays.

    An instance that is in use is not stopped: the command lists its holders and exits with status 1. With --force it
    is stopped, and the connections of its holders break.
    """
    if everything and (names or scope):
        raise click.UsageError("--all stops all instances; it takes no names and no --scope")
    chosen = inventory.running() if everything else choose(names, scope, phases=())
    if not chosen and not quiet:
        say("nothing runs")
    problems = []
    for instance in chosen:
        name, kept, persists = instance.state.name, instance.kept_data(), instance.persistent()
        try:
            users = instance.down(force)
        except Busy as busy:
            problems.append(f"{name} is being started or stopped: {busy}")
            continue
        except Elsewhere as place:
            problems.append(f"{name} runs in {place}; stop it there, with `servicectx down`")
            continue
        if users:
            lines = "".join(f"\n  {line}" for line in holders(users))
            problems.append(f"{name} is in use, and stays (--force stops it):{lines}")
        elif not quiet:
            say(f"{name}: stopped")
            if persists:
                note(f"the persistent data of {name} stays in {kept}")
            elif kept:
                note(keep_record.advice(name, kept))
    if problems:
        raise Failed("\n".join(problems))
