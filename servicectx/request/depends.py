"""`depends`: the files that a set-up reads, by patterns. Their contents are a part of its identity."""

import fnmatch
import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.errors import InvalidOption
from servicectx.request.project import project
from servicectx.system.originals import open

MAGIC = frozenset("*?[")
#: Directories without sources; a pattern that begins in one of them still finds its files.
IGNORED = ("__pycache__", "node_modules")
ENVIRONMENT = "pyvenv.cfg"  # a directory with this file is a virtual environment

Given = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

FORM = 'give a pattern or a list of patterns, such as ["migrations/**"]'


class Depends(NamedTuple):
    """Patterns, and the directory that relative patterns start in. Without patterns there are no files."""

    service: str
    root: Path
    patterns: tuple[str, ...] = ()

    def digest(self) -> str:
        """The hash of the names and contents of the files; "" without patterns.

        Raises InvalidOption: a pattern without a match, or an unreadable file.
        """
        if not self.patterns:
            return ""
        total = hashlib.sha256()
        for name, file in sorted(self._files().items()):
            try:
                with open(file, "rb", buffering=0) as opened:
                    content = hashlib.sha256(opened.read()).hexdigest()
            except OSError as error:
                raise self._error(f"{file} cannot be read: {error.strerror}") from None
            total.update(f"{name}\0{content}\n".encode(errors="surrogateescape"))
        return total.hexdigest()

    def check(self) -> None:
        """Raise InvalidOption for a pattern without a match."""
        self._files()

    def of(self, step: Any) -> "Depends":
        """The files of a callable itself: the patterns in its attribute `depends`. Raises InvalidOption."""
        return self._replace(patterns=patterns(self.service, _own(step), f"the attribute `depends` of {step!r}: "))

    def without_patterns(self) -> "Depends":
        return self._replace(patterns=())

    def _files(self) -> dict[str, str]:
        """The files by name. A name is relative to `root`, or for a file elsewhere to the directory of the search."""
        found: dict[str, str] = {}
        for pattern in self.patterns:
            base, rest = _split(os.path.join(self.root, os.path.expanduser(pattern)))
            try:
                files = {_name(file, self.root, base): file for file in _matches(base, rest)}
            except OSError as error:
                raise self._error(f"{error.filename} cannot be searched: {error.strerror}") from None
            if not files:
                raise self._error(self._unmatched(pattern, base))
            found |= files
        return found

    def _unmatched(self, pattern: str, base: str) -> str:
        place = base if os.path.isdir(base) else os.path.dirname(base)
        missing = "" if os.path.isdir(place) else ", which does not exist"
        return (
            f"no file matches {pattern!r}; searched: {place}{missing}\n"
            f"patterns are relative to the project, {self.root}; hidden files are matched only by name"
        )

    def _error(self, problem: str) -> InvalidOption:
        return InvalidOption(service=self.service, option="depends", problem=problem)


def depends_of(service: str, given: Any, root: Path | None = None) -> Depends:
    """Checked patterns below `root` (default: the project). Raises InvalidOption for a value of another type."""
    return Depends(service, root or _here(), patterns(service, given))


def patterns(service: str, given: Any, source: str = "") -> tuple[str, ...]:
    """The patterns of an argument as texts. `source` begins the problem of an error."""
    if given is None:
        return ()
    items = list(given) if isinstance(given, list | tuple) else [given]
    for item in items:
        if not isinstance(item, str | os.PathLike) or not isinstance(os.fspath(item), str) or not os.fspath(item):
            problem = f"{source}{item!r} is not a pattern of files; {FORM}"
            raise InvalidOption(service=service, option="depends", problem=problem)
    return tuple(map(os.fspath, items))


def _here() -> Path:
    try:
        return project()
    except FileNotFoundError:  # the working directory was removed; absolute patterns still work
        return Path("/")


def _own(step: Any) -> Any:
    """The attribute `depends` of a callable, or of the function that a partial calls."""
    while (found := getattr(step, "depends", None)) is None and isinstance(step, functools.partial):
        step = step.func
    return found


def _split(pattern: str) -> tuple[str, list[str]]:
    """The longest path without wildcards, and the parts after it."""
    parts = os.path.normpath(pattern).split(os.sep)
    plain = next((index for index, part in enumerate(parts) if MAGIC & set(part)), len(parts))
    return os.sep.join(parts[:plain]) or os.sep, parts[plain:]


def _matches(base: str, parts: list[str]) -> Iterator[str]:
    """The files at `base` that match; a matched directory means all files in it."""
    if os.path.isfile(base):
        if not parts:
            yield base
        return
    hidden = any(part.startswith(".") for part in parts)
    for folder, folders, files in os.walk(base, onerror=_refuse):
        below = [] if folder == base else os.path.relpath(folder, base).split(os.sep)
        folders[:] = [name for name in folders if _is_searched(os.path.join(folder, name), hidden)]
        for name in files:
            if (hidden or not name.startswith(".")) and not name.endswith(".pyc") and _fits([*below, name], parts):
                yield os.path.join(folder, name)


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):  # these lead to an error about the pattern
        raise error


def _is_searched(folder: str, hidden: bool) -> bool:
    name = os.path.basename(folder)
    if name in IGNORED or (name.startswith(".") and not hidden):
        return False
    return not os.path.exists(os.path.join(folder, ENVIRONMENT))


def _fits(path: list[str], parts: list[str]) -> bool:
    """Whether the pattern matches the path or one of its directories. `**` stands for any number of directories."""
    if not parts:
        return True
    if parts[0] == "**":
        return any(_fits(path[start:], parts[1:]) for start in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], parts[0]) and _fits(path[1:], parts[1:])


def _name(file: str, root: Path, base: str) -> str:
    start = os.path.join(root, "")
    if file.startswith(start) and start != os.sep:
        return file.removeprefix(start)
    return os.path.join("<elsewhere>", os.path.relpath(file, os.path.dirname(base)))
