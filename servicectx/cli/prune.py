"""`servicectx prune`: clear what the dead left, and nothing that may live."""

import shutil

import click

from servicectx import _instances
from servicectx._running import usage
from servicectx.cli import console
from servicectx.cli.app import debug_option


@click.command(
    epilog="""\b
Examples:
  servicectx prune
  servicectx prune --kept-data     also data that --keep-data left
""",
)
@click.option("--kept-data", is_flag=True, help="Remove data directories that belong to no instance any more.")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@debug_option
def command(kept_data: bool, as_json: bool) -> None:
    """Clear instances whose processes are proven dead and that nobody holds: what a machine left that lost its power,
    or a program that was killed together with its helpers. What runs is never touched.

    Data that were kept on somebody's wish are shown, and removed with --kept-data.
    """
    pruned = _instances.prune()
    kept = {str(path): usage.room(path) for path in _instances.orphans()}
    if kept_data:
        for path in kept:
            shutil.rmtree(path, ignore_errors=True)
    if as_json:
        console.say_json({"pruned": pruned, "kept_data": kept, "kept_data_removed": kept_data})
        return
    for key in pruned:
        console.say(f"{key}: cleared")
    for path, room in kept.items():
        console.say(f"{path}: data that were kept, {console.size(room)}{', removed' if kept_data else ''}")
    if not pruned and not kept:
        console.say("nothing to clear")
