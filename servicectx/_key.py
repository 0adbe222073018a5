"""The key: who shares an instance with whom. Same scope, name, service, options, set-up and program: same instance."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from servicectx._callables import called, coded, source
from servicectx._includes import digest
from servicectx.errors import InvalidOption
from servicectx.system import platform

PROJECT_MARKS = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "pytest.ini", ".git", ".hg")

Setup = Callable[..., Any] | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def scope_text(scope: str) -> str:
    """A scope as part of a key: a project by its directory, `private` by a text nobody else has."""
    kind, _, directory = scope.partition(":")
    if kind == "project":
        return f"project:{project(directory)}"
    if scope == "private":
        return f"private:{os.urandom(8).hex()}"
    return f"scope:{scope}"


def project(directory: str = "") -> Path:
    """The directory of the project around `directory` (the working one); that directory itself when there is none."""
    here = Path.cwd() / directory
    for place in (here, *here.parents):
        if any((place / mark).exists() for mark in PROJECT_MARKS):
            return place
    return here


def key(scope: str, name: str, service: str, options: dict[str, Any], setup: str, program: str) -> str:
    """A short text that is safe as a file name. It differs between containers that share a directory."""
    parts = [scope_text(scope), name, service, options, setup, program, program_state(program), _machine()]
    text = json.dumps(parts, sort_keys=True, default=_plain)
    readable = "".join(letter for letter in name if letter.isalnum())[:20] or service
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def setup_files(service: str, setup: Setup) -> list[Path] | None:
    """The files of a set-up that is given as files, or None for a callable. Raises InvalidOption."""
    if callable(setup):
        return None
    given = [setup] if isinstance(setup, str | os.PathLike) else list(setup)
    files = [Path(each).absolute() for each in given]
    for file in files:
        if not file.is_file():
            raise InvalidOption(service=service, option="setup", problem=f"{file} is not a file", known=[])
    return files


def setup_text(setup: Setup | None, files: list[Path] | None) -> str:
    """A set-up as part of a key: a callable by its name and what it holds, files by their content."""
    return "" if setup is None else called(setup) if files is None else _content(files)


def setup_data(setup: Setup | None, files: list[Path] | None) -> str:
    """A set-up as a name for the data it leaves, for those who keep them: a callable by its code and place, too."""
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
