"""Settings that users hand on to a server's own configuration, but for those that servicectx needs for itself."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from servicectx.errors import InvalidOption
from servicectx.services.base import Service, option_names


def check(service: Service[Any], given: Iterable[str], ours: Collection[str]) -> None:
    """Raises InvalidOption when one of the settings `given` is one of `ours`."""
    for name in given:
        if name.lower() in ours:
            raise InvalidOption(
                service=service.name,
                option="settings",
                problem=f"{name!r} is set by servicectx and cannot be changed",
                known=option_names(service.Options),
            )


def check_lines(service: Service[Any], given: Mapping[str, Any]) -> None:
    """Raises InvalidOption for a value that would not stay on its line: the rest would be a setting of its own."""
    check_names(service, given)
    for name, value in given.items():
        if re.search(r"[\n\r\0]", str(value)):
            raise _invalid(service, f"the value of {name!r} holds a line break, and its file has a line for each")


def check_names(service: Service[Any], given: Iterable[str]) -> None:
    """Raises InvalidOption for what can be no name: it would be read as something else."""
    for name in given:
        if not re.fullmatch(r"[\w.$/*-]+", name):
            raise _invalid(service, f"{name!r} is not the name of a setting")


def _invalid(service: Service[Any], problem: str) -> InvalidOption:
    known = option_names(service.Options)
    return InvalidOption(service=service.name, option="settings", problem=problem, known=known)


def text(value: str | float | bool) -> str:
    """A value as most servers read it: yes and no are `true` and `false`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
