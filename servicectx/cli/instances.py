"""Instances named on a command line: from this project first, then shared ones; never from another project."""

import os
import time
from pathlib import PurePath
from typing import Any

import click

from servicectx.cli import console
from servicectx.cli.app import Failed
from servicectx.cli.parameters import F
from servicectx.client import inventory
from servicectx.client.inventory import Running
from servicectx.request import key
from servicectx.state.record import READY
from servicectx.system.typos import closest

START = "; start it with `servicectx up{}`"


def complete_name(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    try:
        names = {instance.state.name for instance in inventory.running()}
        return sorted(name for name in names if name.startswith(incomplete))
    except Exception:  # noqa: BLE001  # a traceback would be printed into the command line
        return []


def names_argument(function: F) -> F:
    return click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=complete_name)(function)


def name_argument(function: F) -> F:
    return click.argument("name", metavar="NAME", shell_complete=complete_name)(function)


def optional_name_argument(function: F) -> F:
    return click.argument("name", required=False, metavar="[NAME]", shell_complete=complete_name)(function)


def scope_option(function: F) -> F:
    text = "Only instances of this scope: project, project:DIRECTORY, user, or any text."
    return click.option("--scope", help=text)(function)


def scope_text(value: str) -> str:
    if correct := key.misspelt_scope(value):
        raise click.UsageError(f"--scope {value}: did you mean {correct!r}?")
    return value if value == "private" else key.scope_text(value)


def scope_shown(scope: str) -> str:
    """A scope for display; a project is shown by its directory."""
    return scope.removeprefix("scope:").removeprefix("project:")


def choose(
    names: tuple[str, ...], scope: str | None, phases: tuple[str, ...] = (READY,), *, current: bool = False
) -> list[Running]:
    """Instances by name or key; without names, all of the scope.

    `current`: of several with one name, the one of the present configuration. Otherwise such a name is refused.

    The default scope is that of `up`: `SERVICECTX_SCOPE`, or this project; and this run.

    A name means an instance of this run first, below `servicectx run`. Raises Failed, which lists instances of other
    scopes.
    """
    from servicectx.request.resolve import run_scope

    every = [instance for instance in inventory.running() if not phases or instance.state.phase in phases]
    run = run_scope()
    default = os.environ.get("SERVICECTX_SCOPE") or "project"
    scopes = ([scope_text(run)] if run and scope is None else []) + [scope_text(scope or default)]
    if not names:
        chosen = [instance for instance in every if instance.state.scope in scopes]
        if not chosen:
            raise Failed(f"nothing runs in {shown_place(scopes[-1])}{_elsewhere(every) or START.format('')}")
        if not current:
            return chosen
        from servicectx.cli.current_instance import of_each_name  # imports all that a start needs

        return of_each_name(chosen)
    return [_one(name, every, scopes, strict=scope is not None, current=current) for name in names]


def choose_one(name: str | None, scope: str | None, phases: tuple[str, ...] = (READY,)) -> Running:
    """The instance of this name or key; without a name, the only one of the scope. Raises Failed if it has several."""
    chosen = choose((name,) if name else (), scope, phases, current=True)
    if len(chosen) > 1:
        names = ", ".join(sorted({instance.state.name for instance in chosen}))
        raise Failed(f"several services run here; name one of them: {names}")
    return chosen[0]


def _one(name: str, every: list[Running], scopes: list[str], strict: bool, current: bool) -> Running:
    if by_key := [instance for instance in every if instance.key == name]:
        return by_key[0]
    named = [instance for instance in every if instance.state.name == name]
    in_scopes = [[instance for instance in named if instance.state.scope == scope] for scope in scopes]
    found = next(filter(None, in_scopes), [])
    if not found and not strict:
        found = [instance for instance in named if not instance.state.scope.startswith("project:")]
    if not found:
        raise Failed(absent(name, named or every, f"in {shown_place(scopes[-1])}"))
    if len(found) > 1 and current and len({instance.state.scope for instance in found}) == 1:
        from servicectx.cli.current_instance import configured_or_latest

        return configured_or_latest(found)
    if len(found) > 1:
        lines = "".join(f"\n  {instance.key}  {described(instance)}" for instance in found)
        raise Failed(f"{name!r} may be one of these; name one by its key:{lines}")
    return found[0]


def described(instance: Running) -> str:
    state = instance.state
    version = (state.details or {}).get("version") or ""
    return f"{' '.join(filter(None, [state.service, version]))} at {state.host}:{state.port}"


def absent(name: str, every: list[Running], place: str) -> str:
    """Message for a name without an instance in `place`: a close name, or the instances of other scopes."""
    close = closest(name, {instance.state.name for instance in every}, slips=2)
    guess = f". Did you mean {close!r}?" if close else ""
    return f"nothing called {name!r} runs {place}{guess or _elsewhere(every) or START.format(f' {name}')}"


def shown_place(scope: str) -> str:
    return f"{'this project ' if scope.startswith('project:') else 'the scope '}{scope_shown(scope)}"


def _elsewhere(every: list[Running]) -> str:
    if not every:
        return ""
    places = [f"{instance.state.name} (--scope {_as_option(instance.state.scope)})" for instance in every]
    return f". Elsewhere: {', '.join(sorted(set(places)))}"


def _as_option(scope: str) -> str:
    return scope.removeprefix("scope:")


def holders(users: list[dict[str, Any]]) -> list[str]:
    """Holders of an instance as lines of text: process id, age, command."""
    return [holder(user) for user in users]


def holder(user: dict[str, Any]) -> str:
    arguments = [str(argument) for argument in user.get("command", [])]
    shown = " ".join([PurePath(arguments[0]).name, *arguments[1:]]) if arguments else "an unknown program"
    since = f" ({console.age(time.time() - user['since'])})" if "since" in user else ""
    return f"{user['pid']}{since} {shown}"
