"""`servicectx cache`: prepared data and snapshots, kept between runs."""

import time
from pathlib import Path

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
@click.option("--clear", is_flag=True, help="Remove all copies; the next starts make new ones.")
@click.option("--trim", is_flag=True, help="Remove copies above the limit, as a start does.")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@debug_option
def command(clear: bool, trim: bool, as_json: bool) -> None:
    """Show the copies of prepared data that make starts fast, and their common limit.

    Each row has the server, the set-up and the project that the copy was made for, its size and its last use.
    A copy is removed when it was not used for a month, or when newer copies need the room. Removing copies is safe at
    any time.
    """
    cache = Cache(paths.trusted_cache(), paths.cache_size())
    entries = cache.entries()
    if clear:
        cache.clear()
    elif trim:
        cache.trim()
        entries = cache.entries()
    if as_json:
        copies = [_plain(entry) for entry in entries]
        total = sum(entry.size for entry in entries)
        console.say_json({"path": str(cache.path), "size": total, "limit": cache.limit, "copies": copies})
        return
    if entries:
        now = time.time()
        rows = [
            [
                *(entry.name, KINDS[entry.kind], entry.service or "-", entry.version or "-"),
                *(_printable(entry.setup) or "-", _printable(Path(entry.project).name) or "-"),
                *(console.size(entry.size), f"{console.age(now - entry.last_used)} ago"),
            ]
            for entry in entries
        ]
        head = ["NAME", "DATA", "SERVICE", "VERSION", "SET-UP", "PROJECT", "SIZE", "LAST USED"]
        console.say(console.plain(head, rows))
    total_text = f"{console.size(sum(entry.size for entry in entries))} of at most {console.size(cache.limit)}"
    if entries:
        console.say(f"{total_text} in {cache.path}{', removed' if clear else ''}")
    else:
        console.say(f"{cache.path} is empty; at most {console.size(cache.limit)}")


def _printable(text: str) -> str:
    """A text of a copy, which another machine may have made, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _plain(entry: Entry) -> dict[str, object]:
    return entry._asdict() | {"path": str(entry.path)}
