"""The ports that the caller chooses for a service: `managed(port=..., ports=...)`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

HIGHEST = 65535


class Address(NamedTuple):
    """`port`: the service's own port; None for a free one. `ports`: further ports, by the names of the plan."""

    port: int | None = None
    ports: dict[str, int] = {}

    def for_key(self) -> dict[str, Any]:
        """The chosen ports, which are part of the key; nothing without a choice."""
        return {name: value for name, value in self._asdict().items() if value}


def port(value: Any) -> int:
    """A port from an argument, a file or a command line. Raises ValueError."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= HIGHEST:
        raise ValueError(f"{value!r} is not a port: use a number from 1 to {HIGHEST}")
    return number


def ports(value: Any) -> dict[str, int]:
    """Further ports by name. Raises ValueError."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{value!r} does not map names to ports, such as {{'management': 15672}}")
    return {name: port(number) for name, number in sorted(value.items())}
