"""`servicectx cache`: prepared data and snapshots that are kept between runs."""

import time

import click

from servicectx.cli import console
from servicectx.cli.app import debug_option
from servicectx.datadirs.cache import SNAPSHOTS, SPARES, TEMPLATES, Cache, Entry
from servicectx.state import paths

KINDS = {SNAPSHOTS: "after the set-up", TEMPLATES: "prepared, empty", SPARES: "ready for the next start"}


@click.command(
    epilog="""\b
Examples:
  servicectx cache
  servicectx cache --clear
  SERVICECTX_CACHE_SIZE=500M servicectx cache --trim
""",
)
@click.option("--clear", is_flag=True, help="Remove all of them; the next starts make them anew.")
@click.option("--trim", is_flag=True, help="Remove what is more than the limit, as a start would.")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@debug_option
def command(clear: bool, trim: bool, as_json: bool) -> None:
    """Show the copies of prepared data that make starts fast: size, age since their last use, and the limit for all.

    They go by themselves when nobody has used them for a month, or when newer ones need their room. Removing them is
    safe at any time.
    """
    cache = Cache(paths.trusted_cache(), paths.cache_size())
    every = cache.entries()
    if clear:
        cache.clear()
    elif trim:
        cache.trim()
        every = cache.entries()
    if as_json:
        copies = [_plain(each) for each in every]
        total = sum(each.size for each in every)
        console.say_json({"path": str(cache.path), "size": total, "limit": cache.limit, "copies": copies})
        return
    if every:
        now = time.time()
        rows = [
            [each.name, KINDS[each.kind], console.size(each.size), f"{console.age(now - each.last_used)} ago"]
            for each in every
        ]
        console.say(console.plain(["NAME", "DATA", "SIZE", "LAST USED"], rows))
    total_text = f"{console.size(sum(each.size for each in every))} of at most {console.size(cache.limit)}"
    if every:
        console.say(f"{total_text} in {cache.path}{', removed' if clear else ''}")
    else:
        console.say(f"{cache.path} is empty; at most {console.size(cache.limit)}")


def _plain(each: Entry) -> dict[str, object]:
    return each._asdict() | {"path": str(each.path)}
