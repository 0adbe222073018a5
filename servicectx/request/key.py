"""The key of an instance. Requests with equal scope, name, service, options, set-up and program share an instance."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from servicectx.errors import ConfigError, InvalidOption
from servicectx.request.depends import Depends
from servicectx.request.project import project
from servicectx.system import platform
from servicectx.system.originals import json
from servicectx.system.typos import closest

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


def is_stack(setup: Any, files: list[Path] | None) -> TypeGuard[tuple[Any, ...]]:
    """Whether a set-up has several steps, some of them callables. A callable may itself be a tuple."""
    return isinstance(setup, tuple) and files is None and not callable(setup)


def setup_steps(setup: tuple[Any, ...]) -> list[tuple[Any, list[Path] | None]]:
    """The steps of a set-up in order, each with its file, or with None for a callable."""
    return [(step, None if callable(step) else [Path(step).absolute()]) for step in setup]


def setup_text(setup: Setup | None, files: list[Path] | None, depends: Depends | None = None) -> str:
    """The identity of a set-up: name, captured values and code of a callable, the content of files, and of `depends`.

    It has no path of the project. Raises InvalidOption for a pattern without a match.
    """
    if is_stack(setup, files):
        text = " then ".join(setup_text(*step, depends and depends.without_patterns()) for step in setup_steps(setup))
    elif setup is None:
        return ""
    else:
        text = _content(files) if files is not None else _callable(setup, depends)
    digest = depends.digest() if depends is not None else ""
    return f"{text} depends {digest}" if digest else text


def setup_data(setup: Setup | None, files: list[Path] | None, depends: Depends | None = None) -> str:
    """The identity of the data that a set-up makes where projects share them: `setup_text`, and the source files.

    Two projects may have the same set-up with different files beside it.
    """
    return " ".join([setup_text(setup, files, depends), *_sources(setup, files)])


def snapshot_text(setup: Setup | None, files: list[Path] | None, depends: Depends | None = None) -> str:
    """The identity of the data in a snapshot: `setup_text`, and the place of each callable.

    A callable that declares its files by `depends` has the same place in every checkout of its project; see `origin`.
    Without that it may read any file beside it, so it is bound to its path.
    """
    steps = setup if is_stack(setup, files) else (setup,)
    return " ".join([setup_text(setup, files, depends), *(_place(step, depends) for step in steps if callable(step))])


def _place(step: Any, depends: Depends | None) -> str:
    from servicectx.request.origin import origin

    declares = depends is not None and bool(depends.patterns or depends.of(step).patterns)
    return origin(step, declares)


def _callable(setup: Setup, depends: Depends | None) -> str:
    from servicectx.request.fingerprint import coded

    own = depends.of(setup).digest() if depends is not None else ""
    return f"{coded(setup)} depends {own}" if own else coded(setup)


def _sources(setup: Setup | None, files: list[Path] | None) -> Iterator[str]:
    from servicectx.request.fingerprint import source

    for step in setup if is_stack(setup, files) else (setup,):
        if callable(step):
            yield source(step)


def _content(files: list[Path]) -> str:
    from servicectx.request.includes import digest

    return ",".join(map(digest, files))


def _plain(value: Any) -> Any:
    if callable(value):
        from servicectx.request.fingerprint import called

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
