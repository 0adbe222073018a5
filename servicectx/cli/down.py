"""`servicectx down`: stop what stays."""

import click

from servicectx.cli.app import Failed, debug_option
from servicectx.cli.chosen import choose, holders, names_argument, scope_option
from servicectx.cli.console import note, say
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
@click.option("-f", "--force", is_flag=True, help="Also what others hold.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@debug_option
def command(names: tuple[str, ...], everything: bool, scope: str | None, force: bool, quiet: bool) -> None:
    """Stop instances: the named ones, else all of this project. Data go too, unless somebody asked to keep them.

    What others hold is not stopped: it says who they are, and exits with status 1. With --force it is, and they see
    their connections break.
    """
    if everything and (names or scope):
        raise click.UsageError("--all means all; give no names and no --scope with it")
    chosen = inventory.running() if everything else choose(names, scope, phases=())
    if not chosen and not quiet:
        say("nothing runs")
    problems = []
    for each in chosen:
        kept = each.kept_data()
        try:
            users = each.down(force)
        except Busy as busy:
            problems.append(f"{each.state.name} is being started or stopped: {busy}")
            continue
        except Elsewhere as place:
            problems.append(f"{each.state.name} runs in {place}; stop it there, with `servicectx down`")
            continue
        if users:
            who = "".join(f"\n  {line}" for line in holders(users))
            problems.append(f"{each.state.name} is in use, and stays (--force stops it):{who}")
        elif not quiet:
            say(f"{each.state.name}: stopped")
            if kept:
                note(keep_record.advice(each.state.name, kept))
    if problems:
        raise Failed("\n".join(problems))
