"""Instances named on a command line: those of this project first, then the shared ones; never another project's."""

import time
from pathlib import PurePath
from typing import Any

import click

from servicectx.cli import console
from servicectx.cli.app import Failed
from servicectx.cli.asked import F
from servicectx.client import inventory
from servicectx.client.inventory import Running
from servicectx.request import key
from servicectx.state.record import READY
from servicectx.system.typos import closest


def complete_name(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    try:
        return sorted({each.state.name for each in inventory.running() if each.state.name.startswith(incomplete)})
    except Exception:  # noqa: BLE001  # a completion must never write into somebody's command line
        return []


def names_argument(function: F) -> F:
    return click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=complete_name)(function)


def name_argument(function: F) -> F:
    return click.argument("name", metavar="NAME", shell_complete=complete_name)(function)


def scope_option(function: F) -> F:
    text = "Only those of this scope: project, project:DIRECTORY, user, or any text."
    return click.option("--scope", help=text)(function)


def scope_text(said: str) -> str:
    if word := key.misspelt_scope(said):
        raise click.UsageError(f"--scope {said}: did you mean {word!r}?")
    return said if said == "private" else key.scope_text(said)


def scope_shown(scope: str) -> str:
    """A scope as people write it; a project by its directory."""
    return scope.removeprefix("scope:").removeprefix("project:")


def choose(names: tuple[str, ...], scope: str | None, phases: tuple[str, ...] = (READY,)) -> list[Running]:
    """What is meant: by name or key; without names, all of the scope (this project, unless said).

    Raises Failed, which says what runs elsewhere.
    """
    every = [each for each in inventory.running() if not phases or each.state.phase in phases]
    here = scope_text(scope or "project")
    if not names:
        chosen = [each for each in every if each.state.scope == here]
        if not chosen:
            raise Failed(f"nothing runs in {shown_place(here)}{_elsewhere(every)}")
        return chosen
    return [_one(name, every, here, strict=scope is not None) for name in names]


def _one(name: str, every: list[Running], here: str, strict: bool) -> Running:
    if by_key := [each for each in every if each.key == name]:
        return by_key[0]
    named = [each for each in every if each.state.name == name]
    found = [each for each in named if each.state.scope == here]
    if not found and not strict:
        found = [each for each in named if not each.state.scope.startswith("project:")]
    if not found:
        raise Failed(absent(name, named or every, f"in {shown_place(here)}"))
    if len(found) > 1:
        lines = "".join(f"\n  {each.key}  {described(each)}" for each in found)
        raise Failed(f"{name!r} may be one of these; say which by its key:{lines}")
    return found[0]


def described(each: Running) -> str:
    state = each.state
    version = (state.details or {}).get("version") or ""
    return f"{' '.join(filter(None, [state.service, version]))} at {state.host}:{state.port}"


def absent(name: str, every: list[Running], place: str) -> str:
    """The message for a name that no instance has in `place`: a close name, and what there is elsewhere."""
    word = closest(name, {each.state.name for each in every}, slips=2)
    guess = f". Did you mean {word!r}?" if word else ""
    return f"nothing called {name!r} runs {place}{guess or _elsewhere(every)}"


def shown_place(scope: str) -> str:
    return f"{'this project ' if scope.startswith('project:') else 'the scope '}{scope_shown(scope)}"


def _elsewhere(every: list[Running]) -> str:
    if not every:
        return ""
    places = [f"{each.state.name} (--scope {_as_option(each.state.scope)})" for each in every]
    return f". Elsewhere: {', '.join(sorted(set(places)))}"


def _as_option(scope: str) -> str:
    return scope.removeprefix("scope:")


def holders(users: list[dict[str, Any]]) -> list[str]:
    """Who holds an instance, for people: process, command, since when."""
    return [holder(user) for user in users]


def holder(user: dict[str, Any]) -> str:
    words = [str(word) for word in user.get("command", [])]
    shown = " ".join([PurePath(words[0]).name, *words[1:]]) if words else "a program that did not say which"
    since = f" ({console.age(time.time() - user['since'])})" if "since" in user else ""
    return f"{user['pid']}{since} {shown}"
