"""Services named on a command line, as `managed()` objects: the same words as in the project's files, the same keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from servicectx import Managed, managed, service_names
from servicectx.request import config, durations

F = TypeVar("F", bound=Callable[..., Any])


class Seconds(click.ParamType):  # type: ignore[type-arg]
    """A length of time on the command line."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return durations.seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Member(NamedTuple):
    """One service that was asked for, by the role it plays."""

    role: str
    managed: Managed[Any]


def complete_service(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    try:
        return [name for name in service_names() if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001  # a completion must never write into somebody's command line
        return []


def service_options(function: F) -> F:
    """The arguments that say which services are wanted."""
    options = [
        click.argument("services", nargs=-1, metavar="SERVICE...", shell_complete=complete_service),
        click.option("--name", "roles", multiple=True, metavar="ROLE=SERVICE", help="A service in a role."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="SERVICE.OPTION=VALUE",
            help="An option, or setup, snapshot, keep_data ... of a service. May be repeated.",
        ),
        click.option("--scope", help="Who shares them: project (default), user, private, or any text."),
        click.option("--storage", metavar="memory|disk|DIR", help="Where the data live (default: see the guide)."),
        click.option("--timeout", type=Seconds(), help="Time for the whole start, such as 90s (default 60s)."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def members(services: tuple[str, ...], roles: tuple[str, ...], settings: tuple[str, ...], **more: Any) -> list[Member]:
    """The services asked for. A service that has a role is not started a second time under its own name.

    Raises click.UsageError, UnknownService, InvalidOption, ConfigError.
    """
    wanted: dict[str, str] = {}
    for word in (*roles, *(service for service in services if "=" in service)):
        role, equals, service = word.partition("=")
        if not (role and equals and service):
            raise click.UsageError(f"--name {word}: write role=service, such as --name orders=postgres")
        wanted[role] = service
    named = set(wanted.values())
    wanted |= {service: service for service in services if "=" not in service and service not in named}
    if not wanted:
        raise click.UsageError("Say which service, such as postgres. `servicectx list` shows what there is.")
    said = _settings(settings, wanted)
    given = {name: value for name, value in more.items() if value is not None}
    return [_member(role, service, said.get(role, {}), given) for role, service in wanted.items()]


def _member(role: str, service: str, words: dict[str, str], given: dict[str, Any]) -> Member:
    entry = config.Entry(Path("--set"), role, service, {}, {})
    try:
        values = config.from_text(words)
    except ValueError as error:
        raise click.UsageError(f"--set {role}: {error}") from None
    arguments = {
        word: config.checked(entry, word, value)
        for word, value in values.items()
        if word in config.ARGUMENTS and word != "service"
    }
    options = {word: value for word, value in values.items() if word not in config.ARGUMENTS}
    name = None if role == service else role
    return Member(role, managed(service, name=name, **options, **(given | arguments)))


def _settings(settings: tuple[str, ...], wanted: dict[str, str]) -> dict[str, dict[str, str]]:
    """What was set, by role; it may be said by the service's name where one role has it."""
    found: dict[str, dict[str, str]] = {}
    for word in settings:
        path, equals, value = word.partition("=")
        target, dot, option = path.partition(".")
        if not (equals and dot and option):
            raise click.UsageError(f"--set {word}: write SERVICE.OPTION=VALUE, such as postgres.version=16")
        roles = [role for role, service in wanted.items() if target in (role, service)]
        if len(roles) != 1:
            problem = "is not among the services asked for" if not roles else f"may be {' or '.join(roles)}: say which"
            raise click.UsageError(f"--set {word}: {target!r} {problem}")
        found.setdefault(roles[0], {})[option] = value
    return found
