"""The options of a service: their names, their values, and the check of the ones that a caller gives."""

import functools
from dataclasses import fields
from typing import Any

from servicectx.errors import InvalidOption

# Keyword arguments of `managed()` that are not options of a service.
ARGUMENTS = (
    "name",
    "scope",
    "setup",
    "snapshot",
    "linger",
    "keep_data",
    "storage",
    "timeout",
    "port",
    "ports",
    "persist",
    "data",
    "depends",
)
SYNONYMS = {"db": "dbname", "database": "dbname", "username": "user", "passwd": "password", "tag": "version"}


def option_names(options: type) -> list[str]:
    return [*_option_names(options)]


@functools.cache
def _option_names(options: type) -> tuple[str, ...]:
    return tuple(getattr(options, "model_fields", None) or [field.name for field in fields(options)])


def option_values(options: Any) -> dict[str, Any]:
    """The options that differ from their defaults. They are part of the key."""
    defaults = type(options)()
    names = option_names(type(options))
    return {name: value for name in names if (value := getattr(options, name)) != getattr(defaults, name)}


def checked(service: str, kind: type, given: dict[str, Any]) -> Any:
    """The options of that kind. Raises InvalidOption for an unknown name, with a guess, and for a wrong value."""
    from pydantic import TypeAdapter, ValidationError

    known = option_names(kind)
    for name in given:
        if name not in known:
            raise InvalidOption(service=service, option=name, problem=_unknown(name, known), known=known)
    try:
        return TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        option = str(first["loc"][0]) if first["loc"] else next(iter(given))
        raise InvalidOption(service=service, option=option, problem=first["msg"], known=known) from None


def _unknown(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    if name in ("host", "hostname", "bind"):
        return "unknown; servers listen on loopback, and their details have the address"
    if name == "isolated":
        return "unknown; enter the service, and then `isolated(details)` for each test"
    close = [SYNONYMS[name]] if SYNONYMS.get(name) in (*known, *ARGUMENTS) else []
    close = close or get_close_matches(name, known, n=1) or get_close_matches(name, ARGUMENTS, n=1)
    return f"unknown; did you mean {close[0]!r}?" if close else "unknown"
