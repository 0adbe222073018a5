"""`servicectx prune`: remove the remains of dead instances, and nothing of a living one."""

import sys

import click

from servicectx.cli import console
from servicectx.cli.app import Failed, debug_option
from servicectx.client import inventory
from servicectx.client.inventory import Remains
from servicectx.system import memory


@click.command(
    epilog="""\b
Examples:
  servicectx prune                 list, and confirm
  servicectx prune --yes
  servicectx prune --kept-data     also data that --keep-data left
""",
)
@click.option("--kept-data", is_flag=True, help="Remove kept data directories, too.")
@click.option("-y", "--yes", is_flag=True, help="Remove without confirmation. Needed in scripts.")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@debug_option
def command(kept_data: bool, yes: bool, as_json: bool) -> None:
    """Remove instances with proven dead processes and without holders, for example after a loss of power. A locked
    instance is never touched, whichever process, home or container holds the lock.

    The command lists the items, and removes them after confirmation. Without a terminal it removes nothing, unless
    --yes is given. Data kept by keep_data is listed, and removed with --kept-data.
    """
    found = inventory.remains()
    kept = {str(path): memory.room(path) for path in found.kept}
    data = {str(path): memory.room(path) for path in found.data}
    pending = bool(found.dead or found.data or (kept_data and found.kept))
    if not as_json:
        _list(found, data, kept, kept_data)
    if pending and (yes or _is_confirmed(as_json)):
        inventory.prune(found, kept_data)
        pending = False
        if not as_json:
            console.say("removed" if not found.dead else "cleared")
    if as_json:
        removed = {"pruned": found.dead, "data": data, "kept_data": kept, "kept_data_removed": kept_data}
        console.say_json({**removed, "left_alone": found.left_alone, "done": not pending})
    if pending:
        raise Failed("nothing was removed; `servicectx prune --yes` removes without confirmation")


def _list(found: Remains, data: dict[str, int], kept: dict[str, int], kept_data: bool) -> None:
    for key in found.dead:
        console.say(f"{key}: dead, to be cleared")
    for path, room in data.items():
        console.say(f"{path}: data of a dead instance, {console.size(room)}, to be removed")
    for path, room in kept.items():
        console.say(f"{path}: kept data, {console.size(room)}{', to be removed' if kept_data else ''}")
    for item, reason in found.left_alone.items():
        console.say(f"{item}: left alone, {reason}")
    if not (found.dead or data or kept or found.left_alone):
        console.say("nothing to clear")


def _is_confirmed(as_json: bool) -> bool:
    return not as_json and sys.stdin.isatty() and click.confirm("Remove them?")
