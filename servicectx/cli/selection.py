"""Services named on a command line, as `managed()` objects.

They use the same names and values as the project's files, so that both lead to the same keys.
"""

from pathlib import Path
from typing import Any, NamedTuple

import click

from servicectx import Managed, managed, service_names
from servicectx.cli.parameters import F, Seconds
from servicectx.client import inventory
from servicectx.request import config
from servicectx.request.project import project
from servicectx.request.resolve import run_scope


class Member(NamedTuple):
    """A selected service and its role."""

    role: str
    managed: Managed[Any]


def complete_service(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    try:
        return [name for name in service_names() if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001  # a traceback would be printed into the command line
        return []


def service_options(function: F) -> F:
    """Add the arguments that select services."""
    options = [
        click.argument("services", nargs=-1, metavar="[SERVICE...]", shell_complete=complete_service),
        click.option("--name", "roles", multiple=True, metavar="ROLE=SERVICE", help="A service in a role."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="SERVICE.OPTION=VALUE",
            help="An option, or setup, snapshot, keep_data ... of a service. May be repeated.",
        ),
        click.option(
            "--scope",
            help="The users that share them: project, user, private, or any text. Default: project; of run: the run.",
        ),
        click.option("--storage", metavar="memory|disk|DIR", help="Where the data live (default: see the guide)."),
        click.option("--timeout", type=Seconds(), help="Time for the whole start, such as 90s (default 60s)."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def members(
    services: tuple[str, ...], roles: tuple[str, ...], settings: tuple[str, ...], **arguments: Any
) -> list[Member]:
    """The selected services; without a name, all that the project names in pyproject.toml or setup.cfg.

    A service that has a role is not started a second time under its own name. Below `servicectx run` a service that
    `servicectx up` keeps running for the project is joined there.

    Raises click.UsageError, UnknownService, InvalidOption, ConfigError.
    """
    named = {_pair(text)[1] for text in (*roles, *services) if "=" in text or text in roles}
    by_role: dict[str, str] = {}
    for text in (*roles, *services):  # in this order: the first one supplies the variables that several set
        if "=" in text:
            by_role.update([_pair(text)])
        elif text not in named:
            by_role[text] = text
    by_role = by_role or {name: name for name in config.names()}
    if not by_role:
        raise click.UsageError(_nothing_named())
    texts = _settings(settings, by_role)
    given = {name: value for name, value in arguments.items() if value is not None}
    return [_member(role, service, texts.get(role, {}), given) for role, service in by_role.items()]


def _pair(text: str) -> tuple[str, str]:
    role, equals, service = text.partition("=")
    if not (role and equals and service):
        raise click.UsageError(f"--name {text}: write role=service, such as --name orders=postgres")
    return role, service


def _member(role: str, service: str, texts: dict[str, str], given: dict[str, Any]) -> Member:
    entry = config.Entry(Path("--set"), role, service, {}, {})
    try:
        values = config.from_text(texts)
    except ValueError as error:
        raise click.UsageError(f"--set {role}: {error}") from None
    arguments = {
        name: config.checked(entry, name, value)
        for name, value in values.items()
        if name in config.ARGUMENTS and name != "service"
    }
    options = {name: value for name, value in values.items() if name not in config.ARGUMENTS}
    own_name = None if role == service else role
    arguments = {"name": own_name} | options | given | arguments
    member = Member(role, managed(service, **arguments))
    if "scope" not in arguments and member.managed.scope == run_scope():
        shared = Member(role, managed(service, **arguments, scope="project"))
        project_key = shared.managed.key
        return shared if project_key is not None and inventory.is_up(project_key) else member
    return member


def _nothing_named() -> str:
    file = project() / "pyproject.toml"
    return f"""Name a service, such as postgres, or write the services of the project into {file}:

  [tool.servicectx]
  cache = "redis"
  orders = {{service = "postgres", setup = ["schema.sql"]}}

`servicectx list` shows all services."""


def _settings(settings: tuple[str, ...], by_role: dict[str, str]) -> dict[str, dict[str, str]]:
    """Option texts by role. A setting may name the service instead, if one role alone has it."""
    found: dict[str, dict[str, str]] = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        target, dot, option = path.partition(".")
        if not (equals and dot and option):
            raise click.UsageError(f"--set {setting}: write SERVICE.OPTION=VALUE, such as postgres.version=16")
        roles = [role for role, service in by_role.items() if target in (role, service)]
        if len(roles) != 1:
            problem = f"may be {' or '.join(roles)}: name one" if roles else "is not among the named services"
            raise click.UsageError(f"--set {setting}: {target!r} {problem}")
        found.setdefault(roles[0], {})[option] = value
    return found
