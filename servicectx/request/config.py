"""Named services of a project: `[tool.servicectx]` in pyproject.toml, `[servicectx]` in setup.cfg.

Every `managed()` with a name looks here. Without such a section the look-up costs a few calls of stat. A file is
parsed only if it contains the name of the section, and again only after it has changed.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.errors import ConfigError, InvalidOption, UnknownService
from servicectx.request import address, durations
from servicectx.request.project import project
from servicectx.state.storage import WORDS
from servicectx.system import files, typos
from servicectx.system.originals import json

ENV = "env"  # the table of variables, which is not a service: config_env.py

# Options whose text is never read as JSON.
TEXTS = ("user", "password", "dbname", "token", "vhost", "access_key", "secret_key")

# The arguments of managed() that a file may set; every other field of an entry is an option of its service.
ARGUMENTS: tuple[str, ...] = ("service", "scope", "setup", "snapshot", "linger", "keep_data", "storage", "timeout")
ARGUMENTS += ("port", "ports", "depends", "persist")


class Entry(NamedTuple):
    """One named service of a file. `key` is the place in the file: `tool.servicectx.orders`."""

    path: Path
    key: str
    service: str
    arguments: dict[str, Any]
    options: dict[str, Any]

    def error(self, key: str, problem: str) -> ConfigError:
        return ConfigError(path=str(self.path), key=f"{self.key}.{key}" if key else self.key, problem=problem)


def find(name: str, scope: str | None = None) -> Entry | None:
    """The entry for `name` in the project's files, or None without one. Raises ConfigError."""
    kind, _, directory = (scope or "").partition(":")
    try:
        tables = _tables(project(directory if kind == "project" else ""))
    except FileNotFoundError:  # the working directory was removed
        return None
    if name not in tables or name == ENV:
        return None
    path, key, raw = tables[name]
    return _entry(name, path, key, raw)


def names() -> list[str]:
    """The names of services in the project's files. Raises ConfigError for a file that cannot be parsed."""
    try:
        return sorted(name for name in _tables(project()) if name != ENV)
    except FileNotFoundError:
        return []


def env_table() -> "Table | None":
    """The raw table `env` of the project's files. Raises ConfigError for a file that cannot be parsed."""
    try:
        return _tables(project()).get(ENV)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def blaming(entry: Entry | None, given: Mapping[str, Any]) -> Iterator[None]:
    """Convert errors about values of the file into ConfigError with its path and key; errors about `given` pass."""
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


def from_text(texts: Mapping[str, str]) -> dict[str, Any]:
    """The values of texts from setup.cfg or a command line: `settings.jit` is an item of the mapping `settings`."""
    values: dict[str, Any] = {}
    for key, text in texts.items():
        *path, last = key.split(".")
        table = values
        for part in path:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ValueError(f"{key}: {part} has a value already")
        table[last] = _value(key, text)
    return values


def _value(key: str, text: str) -> Any:
    if key in ("setup", "depends") and not text.startswith("["):
        import shlex

        lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
        lexer.whitespace += ","
        lexer.whitespace_split, lexer.commenters = True, ""
        return list(lexer)
    if key in ("password", "token", "secret_key") and text.lower() in ("none", "false"):
        return False  # no login
    if key in TEXTS:
        return text
    if key in ("keep_data", "persist", "snapshot") and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.startswith(("[", "{")):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text


# -- files ---------------------------------------------------------------------------------------------------------

LIMIT = 2**24  # bytes; other programs also write into these files
Table = tuple[Path, str, Any]  # the file, the key, the raw value

_read: dict[Path, tuple[tuple[int, int], dict[str, Table]]] = {}


def _tables(root: Path) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for file, parse in (("pyproject.toml", _parse_toml), ("setup.cfg", _parse_cfg)):
        path = root / file
        try:
            status = os.stat(path)
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            continue
        stamp = (status.st_mtime_ns, status.st_size)
        if path not in _read or _read[path][0] != stamp:
            _read[path] = (stamp, parse(path))
        for name, table in _read[path][1].items():
            if name in found:
                problem = f"also defined in {found[name][0].name}; remove one of the two"
                raise ConfigError(path=str(path), key=table[1], problem=problem)
            found[name] = table
    return found


def _parse_toml(path: Path) -> dict[str, Table]:
    data = _bytes(path)
    if b"tool.servicectx" not in data:
        _refuse_misspelt(path, data, "tool.servicectx")
        return {}
    import tomllib

    try:
        entries = tomllib.loads(data.decode()).get("tool", {}).get("servicectx", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path=str(path), problem=f"it is not TOML: {error}") from None
    return {name: (path, f"tool.servicectx.{name}", value) for name, value in entries.items()}


def _bytes(path: Path) -> bytes:
    """The content of a configuration file. Raises ConfigError."""
    try:
        return files.read(path, LIMIT)
    except files.Unreadable as error:
        raise ConfigError(path=str(path), problem=str(error)) from None


def _refuse_misspelt(path: Path, data: bytes, expected: str) -> None:
    """Raise ConfigError for a misspelt table of this library, which would otherwise silently have no effect."""
    for line in re.findall(rb"^[ \t]*\[+[ \t]*([^\]\r\n]+?)[ \t]*\]", data, re.MULTILINE):
        table = line.decode(errors="replace").replace('"', "").replace("'", "").replace(" ", "")
        kind, _, name = table.replace(":", ".").rpartition("tool.")
        first = name.partition(".")[0].replace("-", "").replace("_", "")
        if not kind and (first == "servicectx" or typos.closest(first, ("servicectx",), slips=2)):
            cure = f"did you mean [{expected}]? If this table belongs to another program, add an empty [{expected}]"
            raise ConfigError(path=str(path), key=table, problem=f"this table has no effect; {cure}")


def _parse_cfg(path: Path) -> dict[str, Table]:
    data = _bytes(path)
    if b"[servicectx]" not in data:
        _refuse_misspelt(path, data, "servicectx")
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
        fields = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            field, equals, value = line.partition("=")
            if not equals:
                raise ConfigError(path=str(path), key=key, problem=f"{line!r} is not written as key = value")
            fields[field.strip()] = value.strip()
        found[name] = (path, key, from_text(fields))
    return found


# -- entries -------------------------------------------------------------------------------------------------------


def _entry(name: str, path: Path, key: str, raw: Any) -> Entry:
    if isinstance(raw, str):
        raw = {"service": raw}
    entry = Entry(path, key, name, {}, {})
    if not isinstance(raw, dict):
        raise entry.error("", 'write a table, such as {service = "postgres", version = "16"}')
    if "service" not in raw:
        for field in raw:
            if typos.closest(field, ("service",), slips=2):
                raise entry.error(field, "unknown; did you mean 'service'?")
    service = raw.get("service", name)
    if not isinstance(service, str):
        raise entry.error("service", f"{service!r} is not the name of a service")
    return Entry(
        path,
        key,
        service,
        {
            field: checked(entry, field, value)
            for field, value in raw.items()
            if field in ARGUMENTS and field != "service"
        },
        {field: value for field, value in raw.items() if field not in ARGUMENTS},
    )


def checked(entry: Entry, argument: str, value: Any) -> Any:
    """The value of one of ARGUMENTS in the form that managed() takes. Raises ConfigError."""
    if argument in ("linger", "timeout"):
        try:
            return durations.seconds(value)
        except ValueError as error:
            raise entry.error(argument, str(error)) from None
    if argument in ("port", "ports"):
        try:
            return address.port(value) if argument == "port" else address.ports(value)
        except ValueError as error:
            raise entry.error(argument, str(error)) from None
    if argument == "depends":
        return _patterns(entry, [value] if isinstance(value, str) else value)
    if argument == "setup":
        return _setup(entry, [value] if isinstance(value, str) else value)
    kinds = {"scope": str, "storage": str, "keep_data": bool, "persist": bool, "snapshot": (bool, str)}
    expected = kinds[argument]
    if not isinstance(value, expected):  # type: ignore[arg-type]
        raise entry.error(argument, f"{value!r} is not {'a text' if expected is str else 'true or false'}")
    if argument == "storage" and value not in WORDS:
        return str(entry.path.parent / value)
    return value


def _patterns(entry: Entry, value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise entry.error("depends", f'{value!r} is not a list of patterns, such as ["migrations/**"]')
    return value


def _setup(entry: Entry, value: Any) -> Any:
    """The steps in order: files relative to the configuration file, functions as "module:name"."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise entry.error("setup", f'{value!r} is not a list of files, such as ["schema.sql"]')
    steps = [_step(entry, item) for item in value]
    return steps[0] if len(steps) == 1 and callable(steps[0]) else steps


def _step(entry: Entry, value: str) -> Any:
    if not re.fullmatch(r"[\w.]+:[\w.]+", value):
        return str(entry.path.parent / value)
    module, _, name = value.partition(":")
    import importlib
    import operator

    try:
        return operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise entry.error("setup", f"{value}: {error}") from None
