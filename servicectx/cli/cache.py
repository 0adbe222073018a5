"""`servicectx cache`: prepared data and snapshots that are kept between runs."""

import time
from pathlib import Path
from typing import NamedTuple

import click

from servicectx._running import kept, usage
from servicectx._sharing import paths
from servicectx.cli import console
from servicectx.cli.app import debug_option

KINDS = {"snapshots": "after the set-up", "templates": "prepared, empty"}


class Copy(NamedTuple):
    """One kept copy."""

    name: str
    kind: str
    size: int
    last_used: float
    path: str


@click.command(
    epilog="""\b
Examples:
  servicectx cache
  servicectx cache --clear
""",
)
@click.option("--clear", is_flag=True, help="Remove all of them; the next starts make them anew.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@debug_option
def command(clear: bool, as_json: bool) -> None:
    """Show the copies of prepared data that make starts fast: size, age since their last use.

    They go by themselves when nobody has used them for a month. Removing them is safe at any time.
    """
    every = [_copy(path, kind) for kind in KINDS for path in _folders(paths.cache() / kind)]
    if clear:
        for each in every:
            kept.drop(Path(each.path))
    if as_json:
        console.say_json([each._asdict() for each in every])
        return
    if every:
        now = time.time()
        rows = [
            [each.name, KINDS[each.kind], console.size(each.size), f"{console.age(now - each.last_used)} ago"]
            for each in every
        ]
        console.say(console.plain(["NAME", "DATA", "SIZE", "LAST USED"], rows))
    total = console.size(sum(each.size for each in every))
    console.say(f"{total} in {paths.cache()}{', removed' if clear else ''}" if every else f"{paths.cache()} is empty")


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _copy(path: Path, kind: str) -> Copy:
    return Copy(path.name, kind, usage.room(path), kept.last_used(path), str(path))
