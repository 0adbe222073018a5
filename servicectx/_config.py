"""Named services of a project: `[tool.servicectx]` in pyproject.toml, `[servicectx]` in setup.cfg.

Every `managed()` with a name looks here. Where there is no such section, that costs a few calls of stat; a file is
parsed only if it speaks of us, and once for as long as it does not change.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from servicectx import _key
from servicectx._originals import json
from servicectx._sharing.storage import WORDS
from servicectx.errors import ConfigError, InvalidOption, UnknownService

# The arguments of managed() that a file may give; everything else in an entry is an option of its service.
ARGUMENTS = ("service", "scope", "setup", "snapshot", "linger", "keep_data", "storage", "timeout")
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class Entry(NamedTuple):
    """What a file says of one named service. `key` is where: `tool.servicectx.orders`."""

    path: Path
    key: str
    service: str
    arguments: dict[str, Any]
    options: dict[str, Any]

    def error(self, key: str, problem: str) -> ConfigError:
        return ConfigError(path=str(self.path), key=f"{self.key}.{key}" if key else self.key, problem=problem)


def find(name: str, scope: str | None = None) -> Entry | None:
    """What the project's file says of `name`; None where it says nothing. Raises ConfigError."""
    kind, _, directory = (scope or "").partition(":")
    try:
        tables = _tables(_key.project(directory if kind == "project" else ""))
    except FileNotFoundError:  # the working directory was removed
        return None
    if name not in tables:
        return None
    path, key, said = tables[name]
    return _entry(name, path, key, said)


def names() -> list[str]:
    """The names that the project's files give to services. Raises ConfigError when they cannot be parsed."""
    try:
        return sorted(_tables(_key.project()))
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def blaming(entry: Entry | None, given: Mapping[str, Any]) -> Iterator[None]:
    """Errors about what the file says name the file and the key; those about what the caller gave stay as they are."""
    try:
        yield
    except UnknownService as error:
        if entry is None:
            raise
        raise entry.error("service", str(error)) from None
    except InvalidOption as error:
        if entry is None or error.option in given or error.option not in {**entry.options, **entry.arguments}:
            raise
        known = f"; {entry.service} has: {', '.join(error.known)}" if error.known else ""
        raise entry.error(error.option, error.problem + known) from None


def seconds(said: str | float) -> float:
    """A length of time: seconds as a number, or a text such as "90s", "5m", "2h", "1d", "forever".

    Raises ValueError.
    """
    if said == "forever":
        return float("inf")
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(said).strip())
    if found is None or found[2] not in UNITS or isinstance(said, bool):
        raise ValueError(f"{said!r} is no length of time; write 90, 90s, 5m, 2h, 1d or forever")
    return float(found[1]) * UNITS[found[2]]


def from_text(words: Mapping[str, str]) -> dict[str, Any]:
    """Values given as text, as in setup.cfg and on a command line: `settings.jit` goes into the mapping `settings`."""
    made: dict[str, Any] = {}
    for key, text in words.items():
        *path, last = key.split(".")
        place = made
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ValueError(f"{key}: {part} has a value already")
        place[last] = _value(key, text)
    return made


def _value(key: str, text: str) -> Any:
    if key == "setup" and not text.startswith("["):
        import shlex

        return shlex.split(text.replace(",", " "))
    if key in ("keep_data", "snapshot") and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.startswith(("[", "{")):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text


# -- files ---------------------------------------------------------------------------------------------------------

Table = tuple[Path, str, Any]  # the file, the key, what it says

_read: dict[Path, tuple[tuple[int, int], dict[str, Table]]] = {}


def _tables(root: Path) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for file, parse in (("pyproject.toml", _parse_toml), ("setup.cfg", _parse_cfg)):
        path = root / file
        try:
            status = os.stat(path)
        except OSError:
            continue
        stamp = (status.st_mtime_ns, status.st_size)
        if path not in _read or _read[path][0] != stamp:
            _read[path] = (stamp, parse(path))
        for name, table in _read[path][1].items():
            if name in found:
                raise ConfigError(path=str(path), key=table[1], problem=f"{found[name][0].name} says it too; keep one")
            found[name] = table
    return found


def _parse_toml(path: Path) -> dict[str, Table]:
    data = path.read_bytes()
    if b"tool.servicectx" not in data:
        return {}
    import tomllib

    try:
        said = tomllib.loads(data.decode()).get("tool", {}).get("servicectx", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path=str(path), problem=f"it is not TOML: {error}") from None
    return {name: (path, f"tool.servicectx.{name}", value) for name, value in said.items()}


def _parse_cfg(path: Path) -> dict[str, Table]:
    data = path.read_bytes()
    if b"[servicectx]" not in data:
        return {}
    import configparser

    parser = configparser.RawConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    try:
        parser.read_string(data.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(path=str(path), problem=f"it cannot be read: {error}") from None
    found: dict[str, Table] = {}
    for name, text in parser["servicectx"].items() if parser.has_section("servicectx") else ():
        key = f"servicectx.{name}"
        if "=" not in text:
            found[name] = (path, key, text.strip())
            continue
        words = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            word, equals, value = line.partition("=")
            if not equals:
                raise ConfigError(path=str(path), key=key, problem=f"{line!r} is not written as key = value")
            words[word.strip()] = value.strip()
        found[name] = (path, key, from_text(words))
    return found


# -- entries -------------------------------------------------------------------------------------------------------


def _entry(name: str, path: Path, key: str, said: Any) -> Entry:
    if isinstance(said, str):
        said = {"service": said}
    entry = Entry(path, key, name, {}, {})
    if not isinstance(said, dict):
        raise entry.error("", 'write a table, such as {service = "postgres", version = "16"}')
    service = said.get("service", name)
    if not isinstance(service, str):
        raise entry.error("service", f"{service!r} is not the name of a service")
    return Entry(
        path,
        key,
        service,
        {word: checked(entry, word, value) for word, value in said.items() if word in ARGUMENTS and word != "service"},
        {word: value for word, value in said.items() if word not in ARGUMENTS},
    )


def checked(entry: Entry, word: str, value: Any) -> Any:
    """One of ARGUMENTS as managed() wants it. Raises ConfigError."""
    if word in ("linger", "timeout"):
        try:
            return seconds(value)
        except ValueError as error:
            raise entry.error(word, str(error)) from None
    if word == "setup":
        return _setup(entry, [value] if isinstance(value, str) else value)
    wanted = {"scope": str, "storage": str, "keep_data": bool, "snapshot": (bool, str)}[word]
    if not isinstance(value, wanted):  # type: ignore[arg-type]
        raise entry.error(word, f"{value!r} is not {'a text' if wanted is str else 'true or false'}")
    if word == "storage" and value not in WORDS:
        return str(entry.path.parent / value)
    return value


def _setup(entry: Entry, value: Any) -> Any:
    """Files beside the one that names them, or one function as "module:name"."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise entry.error("setup", f'{value!r} is not a list of files, such as ["schema.sql"]')
    if len(value) == 1 and re.fullmatch(r"[\w.]+:[\w.]+", value[0]):
        module, _, name = value[0].partition(":")
        import importlib
        import operator

        try:
            return operator.attrgetter(name)(importlib.import_module(module))
        except (ImportError, AttributeError) as error:
            raise entry.error("setup", f"{value[0]}: {error}") from None
    return [str(entry.path.parent / each) for each in value]
