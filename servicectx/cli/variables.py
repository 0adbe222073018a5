"""Environment variables with connection details, and their formats in shells and files."""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def of(every: Iterable[Any]) -> tuple[dict[str, str], list[str]]:
    """Variables of several details, and a remark for each variable that two details set: the first value stays.

    Each details object adds `<NAME>_URL` to the variables that its service's own tools read.
    """
    found: dict[str, str] = {}
    owner: dict[str, str] = {}
    remarks = []
    for details in every:
        foreign = details.unset_env()
        mine = {name: value for name, value in details.env().items() if name not in foreign}
        url = mine["DATABASE_URL"] if hasattr(details, "dsn") and "DATABASE_URL" in mine else details.url
        # Without URL parameters that override the caller's variables: these variables are removed.
        mine |= {f"{prefix(details.name)}_URL": url}
        taken = [name for name, value in mine.items() if found.get(name, value) != value]
        if taken:
            remarks.append(f"{', '.join(taken)}: of {owner[taken[0]]}, not of {details.name}")
        for name, value in mine.items():
            owner.setdefault(name, details.name)
            found.setdefault(name, value)
    return found, remarks


def foreign(every: Iterable[Any], environment: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Names in `environment` that lead clients to other servers in spite of the variables in `found`."""
    names = dict.fromkeys(name for details in every for name in details.unset_env(environment))
    return [name for name in names if name not in found]


def combined(environment: Mapping[str, str], every: Iterable[Any], found: Mapping[str, str]) -> dict[str, str]:
    """Environment of a program that uses these services."""
    removed = foreign(every, environment, found)
    return {name: value for name, value in environment.items() if name not in removed} | dict(found)


def unset(names: Iterable[str], form: str) -> list[str]:
    """Lines that remove variables; none if the format cannot do that."""
    command = UNSETS.get(form)
    return [f"{command} {name}" for name in names if command and re.fullmatch(r"\w+", name)]


def prefix(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.upper())


def fish(variables: dict[str, str]) -> str:
    def quoted(value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    return _lines(f"set -gx {name} {quoted(value)}" for name, value in variables.items())


def posix(variables: dict[str, str]) -> str:
    return _lines(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def dotenv(variables: dict[str, str]) -> str:
    """Write single quotes, which every reader of .env files takes literally; a value with a single quote is escaped."""

    def quoted(value: str) -> str:
        if "'" not in value:
            return f"'{value}'"
        for letter in ("\\", '"', "$", "`"):
            value = value.replace(letter, f"\\{letter}")
        return f'"{value}"'

    return _lines(f"{name}={quoted(value)}" for name, value in variables.items())


def _json(variables: dict[str, str]) -> str:
    return json.dumps(variables, indent=2)


FORMATS: dict[str, Callable[[dict[str, str]], str]] = {
    "sh": posix,
    "bash": posix,
    "zsh": posix,
    "fish": fish,
    "dotenv": dotenv,
    "json": _json,
}


UNSETS = {"sh": "unset", "bash": "unset", "zsh": "unset", "fish": "set -e"}


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)
