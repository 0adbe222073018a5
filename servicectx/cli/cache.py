"""`servicectx cache`: prepared data and snapshots, kept between runs."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import click

from servicectx.cli import console
from servicectx.cli.app import Failed, debug_option
from servicectx.datadirs import archive
from servicectx.datadirs.archive import ArchiveError
from servicectx.datadirs.cache import SNAPSHOTS, SPARES, TEMPLATES, Cache, Entry
from servicectx.datadirs.cache_export import export
from servicectx.datadirs.cache_import import import_archive
from servicectx.request.builds import machine
from servicectx.state import marked, paths
from servicectx.system.progress import Progress
from servicectx.system.typos import closest

KINDS = {SNAPSHOTS: "after the set-up", TEMPLATES: "prepared, empty", SPARES: "ready for the next start"}


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  servicectx cache
  servicectx cache --clear
  SERVICECTX_CACHE_SIZE=500M servicectx cache --trim
  servicectx cache export cache.tar.gz postgres
  servicectx cache import cache.tar.gz
""",
)
@click.option("--clear", is_flag=True, help="Remove all copies; the next starts make new ones.")
@click.option("--trim", is_flag=True, help="Remove copies above the limit, as a start does.")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@debug_option
@click.pass_context
def command(ctx: click.Context, clear: bool, trim: bool, as_json: bool) -> None:
    """Show the copies of prepared data that make starts fast, and their common limit.

    Each row has the server, the set-up and the project that the copy was made for, its size and its last use.
    A copy is removed when it was not used for a month, or when newer copies need the room. Removing copies is safe at
    any time.
    """
    if ctx.invoked_subcommand is not None:
        if clear or trim or as_json:
            raise click.UsageError(f"--clear, --trim and --json do not go with `{ctx.invoked_subcommand}`", ctx)
        return
    cache = _cache()
    entries = cache.entries()
    if clear:
        entries = cache.clear()
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


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("names", metavar="[NAMES]...", nargs=-1)
@debug_option
def export_(file: Path, names: tuple[str, ...]) -> None:
    """Write copies to FILE, a compressed tar archive, for another machine or account.

    NAMES are names of copies or of services; without them all copies are written, except spares. Only complete copies
    are written. FILE contains the data of set-ups and the passwords of servers, so only you can read it. An existing
    FILE is replaced.
    """
    cache = _cache()
    entries = _selected(cache, names)
    with Progress(f"writing {len(entries)} copies to {file}"), _failures():
        left_out = export(cache, file, entries, machine())
    for entry, problem in left_out:
        console.note(f"servicectx: {entry.name} was left out: {problem}")
    written = [entry for entry in entries if entry not in [left for left, _ in left_out]]
    total = console.size(sum(entry.size for entry in written))
    console.say(f"{file}: {_count(len(written))} of {total}, {console.size(file.stat().st_size)} compressed")


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@debug_option
def import_(file: Path) -> None:
    """Store the copies of FILE, which `servicectx cache export` wrote. A copy that the cache has already is kept.

    Each copy is compared with its digest before it is stored. The digest finds damage, not a forger: import only files
    of a source that you trust. The files get your account as owner, also for root.
    """
    cache = _cache(make=True)
    with Progress(f"reading {file}"), _failures():
        found = import_archive(cache, file, machine())
    kept = f"; {_count(len(found.kept))} already there" if found.kept else ""
    console.say(f"{cache.path}: {_count(len(found.stored))} imported, {console.size(found.size)}{kept}")


def _cache(make: bool = False) -> Cache:
    """The cache. With `make` it is created if missing. Raises HomeError where another account could change it."""
    path = paths.trusted_cache()
    if make:
        paths.make_parents(path)
        marked.make(path, marked.CACHE)
    return Cache(path, paths.cache_size())


def _selected(cache: Cache, names: tuple[str, ...]) -> list[Entry]:
    """The copies with these names, or of the services with these names; all of them without names. Raises Failed."""
    found = [
        entry for entry in cache.entries() if entry.kind in archive.EXPORTED and archive.NAME.fullmatch(entry.name)
    ]
    known = {text for entry in found for text in (entry.name, entry.service)}
    for name in names:
        if name not in known:
            guess = closest(name, known, slips=2)
            hint = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(sorted(known)) or 'none'}"
            raise Failed(f"no copy or service in {cache.path} is called {name!r}; {hint}")
    if not found:
        raise Failed(f"{cache.path} has no copies to export; make some, such as with `servicectx run postgres -- true`")
    return [entry for entry in found if not names or entry.name in names or entry.service in names]


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        raise Failed(str(error)) from error


def _count(number: int) -> str:
    return f"{number} {'copy' if number == 1 else 'copies'}"


def _printable(text: str) -> str:
    """A text of a copy, which another machine may have made, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _plain(entry: Entry) -> dict[str, object]:
    return entry._asdict() | {"path": str(entry.path)}
