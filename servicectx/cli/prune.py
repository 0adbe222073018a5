"""`servicectx prune`: clear what the dead left, and nothing that may live."""

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
  servicectx prune                 list, and ask
  servicectx prune --yes
  servicectx prune --kept-data     also data that --keep-data left
""",
)
@click.option("--kept-data", is_flag=True, help="Also remove data directories that were kept.")
@click.option("-y", "--yes", is_flag=True, help="Remove without a question. Scripts need it.")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@debug_option
def command(kept_data: bool, yes: bool, as_json: bool) -> None:
    """Clear instances whose processes are proven dead and that nobody holds: what a machine left that lost its power,
    or a program that was killed together with its helpers. What holds a lock is never touched, whichever process, home
    or container it belongs to.

    It lists what it would remove, and asks. Without a terminal it removes nothing, unless --yes is given. Data that
    were kept on a user's wish are shown, and removed with --kept-data.
    """
    found = inventory.remains()
    kept = {str(path): memory.room(path) for path in found.kept}
    data = {str(path): memory.room(path) for path in found.data}
    wanted = bool(found.dead or found.data or (kept_data and found.kept))
    if not as_json:
        _list(found, data, kept, kept_data)
    if wanted and (yes or _is_confirmed(as_json)):
        inventory.prune(found, kept_data)
        wanted = False
        if not as_json:
            console.say("removed" if not found.dead else "cleared")
    if as_json:
        removed = {"pruned": found.dead, "data": data, "kept_data": kept, "kept_data_removed": kept_data}
        console.say_json({**removed, "left_alone": found.left_alone, "done": not wanted})
    if wanted:
        raise Failed("nothing was removed; `servicectx prune --yes` removes without a question")


def _list(found: Remains, data: dict[str, int], kept: dict[str, int], kept_data: bool) -> None:
    for key in found.dead:
        console.say(f"{key}: dead, to be cleared")
    for path, room in data.items():
        console.say(f"{path}: data of a dead instance, {console.size(room)}, to be removed")
    for path, room in kept.items():
        console.say(f"{path}: data that were kept, {console.size(room)}{', to be removed' if kept_data else ''}")
    for what, reason in found.left_alone.items():
        console.say(f"{what}: left alone, {reason}")
    if not (found.dead or data or kept or found.left_alone):
        console.say("nothing to clear")


def _is_confirmed(as_json: bool) -> bool:
    return not as_json and sys.stdin.isatty() and click.confirm("Remove them?")
