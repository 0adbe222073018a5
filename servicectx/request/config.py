"""Named services of a project: `[tool.servicectx]` in pyproject.toml, `[servicectx]` in setup.cfg.

Every `managed()` with a name looks here. Where there is no such section, that costs a few calls of stat; a file is
parsed only if it speaks of us, and once for as long as it does not change.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.errors import ConfigError, InvalidOption, UnknownService
from servicectx.request import durations
from servicectx.request import key as _key
from servicectx.state.storage import WORDS
from servicectx.system import files, typos
from servicectx.system.originals import json

# The arguments of managed() that a file may give; everything else in an entry is an option of its service.
ARGUMENTS = ("service", "scope", "setup", "snapshot", "linger", "keep_data", "storage", "timeout")


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

        words = shlex.shlex(text, posix=True, punctuation_chars=False)
        words.whitespace += ","
        words.whitespace_split, words.commenters = True, ""
        return list(words)
    if key in ("keep_data", "snapshot") and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.startswith(("[", "{")):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text


# -- files ---------------------------------------------------------------------------------------------------------

LIMIT = 2**24  # bytes of a configuration file, which other programs fill, too
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
        if not stat.S_ISREG(status.st_mode):
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
    data = _bytes(path)
    if b"tool.servicectx" not in data:
        _refuse_misspelt(path, data, "tool.servicectx")
        return {}
    import tomllib

    try:
        said = tomllib.loads(data.decode()).get("tool", {}).get("servicectx", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path=str(path), problem=f"it is not TOML: {error}") from None
    return {name: (path, f"tool.servicectx.{name}", value) for name, value in said.items()}


def _bytes(path: Path) -> bytes:
    """The content of a configuration file. Raises ConfigError."""
    try:
        return files.read(path, LIMIT)
    except files.Unreadable as error:
        raise ConfigError(path=str(path), problem=str(error)) from None


def _refuse_misspelt(path: Path, data: bytes, wanted: str) -> None:
    """Raise ConfigError for a table whose name is nearly ours: without this, it would silently have no effect."""
    for line in re.findall(rb"^[ \t]*\[+[ \t]*([^\]\r\n]+?)[ \t]*\]", data, re.MULTILINE):
        table = line.decode(errors="replace").replace('"', "").replace("'", "").replace(" ", "")
        kind, _, name = table.replace(":", ".").rpartition("tool.")
        word = name.partition(".")[0].replace("-", "").replace("_", "")
        if not kind and (word == "servicectx" or typos.closest(word, ("servicectx",), slips=2)):
            cure = f"did you mean [{wanted}]? If this table belongs to another program, add an empty [{wanted}]"
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
    if "service" not in said:
        for word in said:
            if typos.closest(word, ("service",), slips=2):
                raise entry.error(word, "unknown; did you mean 'service'?")
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
            return durations.seconds(value)
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
    """Files beside the one that names them, functions as "module:name"; carried out in order."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise entry.error("setup", f'{value!r} is not a list of files, such as ["schema.sql"]')
    steps = [_step(entry, each) for each in value]
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
