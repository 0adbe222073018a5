"""The key of an instance. Requests with equal scope, name, service, options, set-up and program share an instance."""

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
    "it no longer exists, and the project scope is derived from it\n"
    'change to a directory that exists (cd), or give a scope that needs none, such as scope="user"'
)

SCOPES = ("project", "user", "private")

Step = Callable[..., Any] | str | os.PathLike[str]
Setup = Step | Sequence[Step]  # a tuple where several steps include a function


def scope_text(scope: str) -> str:
    """The part of a key for a scope: the directory of a project, a unique text for `private`."""
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
    """The reserved scope that a misspelt `scope` resembles; None for any other text."""
    kind, colon, directory = scope.partition(":")
    if colon:
        return f"project:{directory}" if closest(kind, ("project",)) else None
    return closest(scope, SCOPES)


def project(directory: str = "") -> Path:
    """The project directory at or above `directory` (default: the working directory); else `directory` itself."""
    here = Path(directory) if os.path.isabs(directory) else Path.cwd() / directory
    for parent in (here, *here.parents):
        if any((parent / mark).exists() for mark in PROJECT_MARKS):
            return parent
    return here


def working_directory() -> str:
    """The working directory, or "" where it was removed."""
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
    """The part of a name that the pattern of keys permits: ASCII letters and digits, at most 20."""
    return "".join(letter for letter in name if letter.isascii() and letter.isalnum())[:20]


def setup_files(service: str, setup: Setup) -> list[Path] | None:
    """The absolute paths of a set-up of files, or None for a callable. Raises InvalidOption."""
    if callable(setup) or isinstance(setup, tuple):
        return None
    paths: Sequence[Any] = [setup] if isinstance(setup, str | os.PathLike) else list(setup)
    files = [Path(path).absolute() for path in paths]
    for file in files:
        if not file.is_file():
            raise InvalidOption(service=service, option="setup", problem=f"{file} is not a file")
    return files


def setup_steps(setup: tuple[Any, ...]) -> list[tuple[Any, list[Path] | None]]:
    """The steps of a set-up in order, each with its file, or with None for a callable."""
    return [(step, None if callable(step) else [Path(step).absolute()]) for step in setup]


def setup_text(setup: Setup | None, files: list[Path] | None) -> str:
    """The part of a key for a set-up: the name and captured values of a callable, the content of files."""
    if isinstance(setup, tuple) and files is None:
        return " then ".join(setup_text(*step) for step in setup_steps(setup))
    return "" if setup is None else called(setup) if files is None else _content(files)


def setup_data(setup: Setup | None, files: list[Path] | None) -> str:
    """The identity of the data that a set-up makes: as `setup_text`, with the code and the file of a callable."""
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
    """The time stamp and size of a program, which change when it is upgraded in place."""
    try:
        status = os.stat(program)
    except OSError:
        return ""
    return f"{status.st_mtime_ns}:{status.st_size}"


def _machine() -> str:
    """The PID and network namespaces, within which process ids and loopback are valid (Linux)."""
    if not platform.PROC:
        return ""
    try:
        return ":".join(str(os.stat(f"/proc/self/ns/{kind}").st_ino) for kind in ("pid", "net"))
    except OSError:
        return ""
