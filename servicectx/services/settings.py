"""Settings that users hand on to a server's own configuration, but for those that servicectx needs for itself."""

from collections.abc import Collection, Iterable
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


def text(value: str | float | bool) -> str:
    """A value as most servers read it: yes and no are `true` and `false`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
