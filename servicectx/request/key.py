"""The key: who shares an instance with whom. Same scope, name, service, options, set-up and program: same instance."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from servicectx.errors import ConfigError, InvalidOption
from servicectx.request.fingerprint import called, coded, source
from servicectx.request.includes import digest
from servicectx.system import platform
from servicectx.system.originals import json
from servicectx.system.typos import closest

PROJECT_MARKS = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "pytest.ini", ".git", ".hg")

REMOVED = (
    "it does not exist any more, and it tells which project this is\n"
    'change to a directory that exists (cd), or give a scope that needs none, such as scope="user"'
)

SCOPES = ("project", "user", "private")

Step = Callable[..., Any] | str | os.PathLike[str]
Setup = Step | Sequence[Step]  # a tuple where a function is among several steps


def scope_text(scope: str) -> str:
    """A scope as part of a key: a project by its directory, `private` by a text nobody else has."""
    kind, _, directory = scope.partition(":")
    if kind == "project":
        try:
            return f"project:{project(directory)}"
        except FileNotFoundError:
            raise ConfigError(path="the working directory", problem=REMOVED) from None
    if scope == "private":
        return f"private:{os.urandom(8).hex()}"
    return f"scope:{scope}"


def misspelt_scope(scope: str) -> str | None:
    """The word with a meaning that a scope was probably meant to be; None for any other text."""
    kind, colon, directory = scope.partition(":")
    if colon:
        return f"project:{directory}" if closest(kind, ("project",)) else None
    return closest(scope, SCOPES)


def project(directory: str = "") -> Path:
    """The directory of the project around `directory` (the working one); that directory itself when there is none."""
    here = Path(directory) if os.path.isabs(directory) else Path.cwd() / directory
    for place in (here, *here.parents):
        if any((place / mark).exists() for mark in PROJECT_MARKS):
            return place
    return here


def working_directory() -> str:
    """The working directory, "" where it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def key(scope: str, name: str, service: str, options: dict[str, Any], setup: str, program: str) -> str:
    """A short text that is safe as a file name. It differs between containers that share a directory."""
    parts = [scope_text(scope), name, service, options, setup, program, program_state(program), _machine()]
    text = json.dumps(parts, sort_keys=True, default=_plain)
    return f"{_readable(name) or _readable(service) or 'service'}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _readable(name: str) -> str:
    """What of a name may be part of a file's name: ASCII alone, as the pattern for keys has it."""
    return "".join(letter for letter in name if letter.isascii() and letter.isalnum())[:20]


def setup_files(service: str, setup: Setup) -> list[Path] | None:
    """The files of a set-up that is given as files, or None for a callable. Raises InvalidOption."""
    if callable(setup) or isinstance(setup, tuple):
        return None
    given: Sequence[Any] = [setup] if isinstance(setup, str | os.PathLike) else list(setup)
    files = [Path(each).absolute() for each in given]
    for file in files:
        if not file.is_file():
            raise InvalidOption(service=service, option="setup", problem=f"{file} is not a file")
    return files


def setup_steps(setup: tuple[Any, ...]) -> list[tuple[Any, list[Path] | None]]:
    """The steps of a set-up that has several, in order, each with its file or with None for a callable."""
    return [(step, None if callable(step) else [Path(step).absolute()]) for step in setup]


def setup_text(setup: Setup | None, files: list[Path] | None) -> str:
    """A set-up as part of a key: a callable by its name and what it holds, files by their content."""
    if isinstance(setup, tuple) and files is None:
        return " then ".join(setup_text(*step) for step in setup_steps(setup))
    return "" if setup is None else called(setup) if files is None else _content(files)


def setup_data(setup: Setup | None, files: list[Path] | None) -> str:
    """A set-up as a name for the data it leaves, for those who keep them: a callable by its code and place, too."""
    if isinstance(setup, tuple) and files is None:
        return " then ".join(setup_data(*step) for step in setup_steps(setup))
    return "" if setup is None else f"{coded(setup)} {source(setup)}" if files is None else _content(files)


def _content(files: list[Path]) -> str:
    return ",".join(map(digest, files))


def _plain(value: Any) -> Any:
    if callable(value):
        return called(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "items"):
        return dict(value.items())
    return repr(value)


def program_state(program: str) -> str:
    """Tells a program from the one that stands at its path after an upgrade."""
    try:
        status = os.stat(program)
    except OSError:
        return ""
    return f"{status.st_mtime_ns}:{status.st_size}"


def _machine() -> str:
    """Process ids and loopback mean something only within these namespaces (Linux)."""
    if not platform.PROC:
        return ""
    try:
        return ":".join(str(os.stat(f"/proc/self/ns/{kind}").st_ino) for kind in ("pid", "net"))
    except OSError:
        return ""
