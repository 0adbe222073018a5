"""`servicectx persist`: list persistent data, remove it by name, and accept a changed set-up."""

import sys
from typing import Any

import click

from servicectx.cli import console
from servicectx.cli.app import Failed, debug_option
from servicectx.cli.instances import scope_option, scope_shown, scope_text
from servicectx.state import persistent
from servicectx.state.persistent import Found
from servicectx.system import memory
from servicectx.system.typos import closest


@click.group(
    epilog="""\b
Examples:
  servicectx up orders --persist
  servicectx persist list
  servicectx persist remove orders
"""
)
@debug_option
def command() -> None:
    """Persistent data: databases for development that stay, of `servicectx up NAME --persist` and of persist=True.

    The data lives below SERVICECTX_DATA, by default in your data directory, and survives `servicectx down`, crashes and
    reboots. `servicectx persist remove` removes it. No other command does.
    """


@command.command("list")
@scope_option
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects; sizes in bytes.")
@debug_option
def list_(scope: str | None, as_json: bool) -> None:
    """List the persistent data of all projects, or of a scope: name, service, version, size, state, scope, place."""
    found = _found(None if scope is None else scope_text(scope))
    if as_json:
        console.say_json([_row(item) for item in found])
    elif not found:
        console.say("no persistent data")
    else:
        rows = [_row(item) for item in found]
        cells = [
            [
                *(row["name"], " ".join(filter(None, [row["service"], row["version"]])), console.size(row["size"])),
                *("running" if row["in_use"] else "stopped", row["scope"], row["place"]),
            ]
            for row in rows
        ]
        console.say(console.plain(["NAME", "SERVICE", "DATA", "STATE", "SCOPE", "PLACE"], cells))


@command.command()
@click.argument("name", metavar="NAME")
@scope_option
@click.option("-y", "--yes", is_flag=True, help="Remove without confirmation. Needed in scripts.")
@debug_option
def remove(name: str, scope: str | None, yes: bool) -> None:
    """Remove the persistent data with that name of this project, or of a scope. Data in use is not removed.

    The command asks for confirmation. Without a terminal it removes nothing, unless --yes is given.
    """
    found = _one(name, scope)
    if found.in_use:
        raise Failed(f"{name}: an instance runs on the data in {found.path}, and it stays; {persistent.IN_USE}")
    shown = f"{name}: {found.record.service} {found.record.server_version or ''}".rstrip()
    console.note(f"{shown}, {console.size(memory.room(found.path))}, in {found.path}")
    if not yes and not (sys.stdin.isatty() and click.confirm("Remove this data?")):
        raise Failed("nothing was removed; `servicectx persist remove NAME --yes` removes without confirmation")
    persistent.remove(found.path)
    console.say(f"{name}: removed")


@command.command()
@click.argument("name", metavar="NAME")
@scope_option
@debug_option
def accept(name: str, scope: str | None) -> None:
    """Accept a changed set-up: you have brought the data up to date, and the next start records the new set-up.

    The set-up itself does not run.
    """
    found = _one(name, scope)
    persistent.accept_setup(found.path)
    console.say(f"{name}: the next set-up counts as the one that made the data")


def _found(scope: str | None) -> list[Found]:
    return [item for item in persistent.scan() if scope in (None, item.record.scope)]


def _one(name: str, scope: str | None) -> Found:
    """The data with that name in the scope. Raises Failed, which names close names and other scopes."""
    wanted, every = scope_text(scope or "project"), _found(None)
    named = [item for item in every if item.record.name == name]
    if here := [item for item in named if item.record.scope == wanted]:
        return here[0]
    place = f"{'this project ' if wanted.startswith('project:') else 'the scope '}{scope_shown(wanted)}"
    problem = f"no persistent data called {name!r} in {place}"
    if named:
        scopes = ", ".join(item.record.scope.removeprefix("scope:") for item in named)
        raise Failed(f"{problem}. Elsewhere: --scope {scopes}")
    guess = closest(name, {item.record.name for item in every}, slips=2)
    raise Failed(problem + (f". Did you mean {guess!r}?" if guess else "; `servicectx persist list` lists all"))


def _row(item: Found) -> dict[str, Any]:
    record = item.record
    return {
        "name": record.name,
        "service": record.service,
        "version": record.server_version,
        "size": memory.room(item.path),
        "in_use": item.in_use,
        "scope": scope_shown(record.scope),
        "place": str(item.path),
        "setup": record.setup,
    }
