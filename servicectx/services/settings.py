"""Users' settings for a server's own configuration. Settings that servicectx needs itself are refused."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from servicectx.errors import InvalidOption
from servicectx.services.base import Service
from servicectx.services.options import option_names


def check(service: Service[Any], given: Iterable[str], ours: Collection[str]) -> None:
    """Raise InvalidOption if one of the settings `given` is one of `ours`."""
    for name in given:
        if name.lower() in ours:
            raise InvalidOption(
                service=service.name,
                option="settings",
                problem=f"{name!r} is set by servicectx and cannot be changed",
                known=option_names(service.Options),
            )


def check_lines(service: Service[Any], given: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value with a line break: the rest would be another setting."""
    check_names(service, given)
    for name, value in given.items():
        if re.search(r"[\n\r\0]", str(value)):
            raise invalid(service, f"the value of {name!r} holds a line break, and each setting has one line")


def check_names(service: Service[Any], given: Iterable[str]) -> None:
    """Raise InvalidOption for a text that cannot be a name: the server would misread it."""
    for name in given:
        if not re.fullmatch(r"[\w.$/*-]+", name):
            raise invalid(service, f"{name!r} is not the name of a setting")


def invalid(service: Service[Any], problem: str) -> InvalidOption:
    """The error for one of the `settings`."""
    known = option_names(service.Options)
    return InvalidOption(service=service.name, option="settings", problem=problem, known=known)


def text(value: str | float | bool) -> str:
    """A value in the form that most servers read: booleans are `true` and `false`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
