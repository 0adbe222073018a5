"""The key: who shares an instance with whom. Same scope, name, service, options, set-up and program: same instance."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CellType, CodeType, FunctionType
from typing import Any

from servicectx.errors import InvalidOption

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
    """A set-up as part of a key: a callable by its name, files by their content."""
    if setup is None:
        return ""
    if files is None:
        return called(setup)
    return ",".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


def called(function: Any) -> str:
    """A callable's name, the same in every process that has the same code.

    A lambda or a local function is known by its code, its defaults and what it closes over: its name says too little.
    """
    inner = getattr(function, "func", None)
    if inner is not None:  # functools.partial
        return f"{called(inner)}({_held(function.args, 3)}, {_held(function.keywords, 3)})"
    target = getattr(function, "__wrapped__", function)
    module, name = getattr(target, "__module__", ""), getattr(target, "__qualname__", type(target).__qualname__)
    if module == "__main__":
        module = os.path.abspath(getattr(sys.modules["__main__"], "__file__", None) or "")
    if "<" in name and hasattr(target, "__code__"):
        name += f":{hashlib.sha256(_held(target, 3).encode()).hexdigest()[:12]}"
    return f"{module}:{name}"


def source(function: Any) -> str:
    """The file that a callable's code stands in, as far as that can be told."""
    inner = getattr(function, "func", None)
    if inner is not None:  # functools.partial
        return source(inner)
    target = getattr(function, "__wrapped__", function)
    code = getattr(target, "__code__", None)
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    file: str = code.co_filename if code else getattr(module, "__file__", None) or ""
    return file if file[:1] in ("", "<") else os.path.abspath(file)  # "<string>": it came from no file


def _held(value: Any, depth: int) -> str:
    """What a function holds, as text that says the same in every process: an object's address must not get in."""
    if isinstance(value, str | bytes | int | float | complex | None):
        return repr(value)
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    kind = type(value).__qualname__
    if depth == 0:
        return kind
    if isinstance(value, CodeType):
        return f"{value.co_code!r}{value.co_names}{_held(value.co_consts, depth)}"
    if isinstance(value, tuple | list):
        return f"{kind}({', '.join(_held(each, depth - 1) for each in value)})"
    if isinstance(value, set | frozenset):
        return f"{kind}({', '.join(sorted(_held(each, depth - 1) for each in value))})"
    if isinstance(value, Mapping):
        return f"{kind}({', '.join(sorted(f'{name!r}: {_held(each, depth - 1)}' for name, each in value.items()))})"
    if isinstance(value, CellType):
        try:
            return _held(value.cell_contents, depth)
        except ValueError:  # nothing in it yet
            return kind
    if isinstance(value, FunctionType) and "<" in value.__qualname__:
        parts = (value.__code__, value.__defaults__, value.__kwdefaults__, value.__closure__)
        return f"{value.__module__}:{value.__qualname__}{_held(parts, depth)}"
    return called(value) if callable(value) else kind


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
    try:
        return ":".join(str(os.stat(f"/proc/self/ns/{kind}").st_ino) for kind in ("pid", "net"))
    except OSError:
        return ""
