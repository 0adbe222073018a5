"""The formats of `servicectx env`: variables for shells and files, each in the quoting rules of its reader."""

import json
import re
import shlex
from collections.abc import Callable, Iterable

import click

Variables = dict[str, str]

_DOLLAR, _BACKSLASH = "${__:-$}", "${__:-\\\\}"  # the default of a variable that is never set
_SINGLE = "'\u2018\u2019\u201a\u201b"  # PowerShell ends a text in single quotes at each of these


def posix(variables: Variables) -> str:
    """sh, bash, zsh: single quotes, as shlex writes them."""
    return _lines(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def fish(variables: Variables) -> str:
    """Within single quotes fish reads only the backslash and the quote itself as escapes."""

    def quoted(value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    return _lines(f"set -gx {name} {quoted(value)}" for name, value in variables.items())


def powershell(variables: Variables) -> str:
    """Within single quotes PowerShell reads only a doubled quote as an escape. A line feed is kept."""

    def quoted(value: str) -> str:
        return "'" + re.sub(f"([{_SINGLE}])", r"\1\1", value) + "'"

    return _lines(f"$env:{name} = {quoted(value)}" for name, value in variables.items())


def dotenv(variables: Variables) -> str:
    """Single quotes where every reader of .env files takes the value literally, else double quotes.

    python-dotenv and shells read both alike. python-dotenv expands `${NAME}` even within single quotes, and removes
    no backslash before `$`, so a dollar is written as a default value. It also reads a backslash before the end of the
    quotes as an escape. For a value with a single quote and a backtick no text serves python-dotenv and shells: it is
    written for shells, which would run the command between backticks.
    """

    def quoted(value: str) -> str:
        if not re.search(r"'|\$\{|\\\\|\\$", value):
            return f"'{value}'"
        value, last = (value[:-1], _BACKSLASH) if value.endswith("\\") else (value, "")
        for letter, written in (("\\", "\\\\"), ('"', '\\"'), ("`", "\\`"), ("$", _DOLLAR)):
            value = value.replace(letter, written)
        return f'"{value}{last}"'

    return _lines(f"{name}={quoted(value)}" for name, value in variables.items())


def docker(variables: Variables) -> str:
    """`docker run --env-file`: every letter after the `=` is the value. It reads lines of UTF-8, without quotes.

    Raises click.UsageError for a value with a line end, which the file cannot hold.
    """
    for name, value in variables.items():
        if "\n" in value or value.endswith("\r"):
            problem = "a file for docker --env-file cannot hold it; --format json can"
            raise click.UsageError(f"--format docker: the value of {name} has a line end: {problem}")
    return _lines(f"{name}={value}" for name, value in variables.items())


def github(variables: Variables) -> str:
    """For `>> "$GITHUB_ENV"`. A value of several lines stands between two markers that it does not contain."""

    def entry(name: str, value: str) -> str:
        if "\n" not in value:
            return f"{name}={value}"
        end = "EOF"
        while end in value:
            end += "_"
        return f"{name}<<{end}\n{value}\n{end}"

    return _lines(entry(name, value) for name, value in variables.items())


def as_json(variables: Variables) -> str:
    """One object."""
    return json.dumps(variables, indent=2)


FORMATS: dict[str, Callable[[Variables], str]] = {
    "sh": posix,
    "bash": posix,
    "zsh": posix,
    "fish": fish,
    "powershell": powershell,
    "dotenv": dotenv,
    "docker": docker,
    "github": github,
    "json": as_json,
}
FILES = ("dotenv", "docker")  # formats of files that only their owner should be able to read

_UNSETS = {"sh": "unset {}", "bash": "unset {}", "zsh": "unset {}", "fish": "set -e {}"}
_UNSETS |= {"powershell": "Remove-Item -ErrorAction Ignore Env:{}"}


def can_unset(form: str) -> bool:
    return form in _UNSETS


def unset(names: Iterable[str], form: str) -> list[str]:
    """Lines that remove variables; none if the format cannot do that."""
    return [_UNSETS[form].format(name) for name in names if form in _UNSETS and re.fullmatch(r"\w+", name)]


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)
