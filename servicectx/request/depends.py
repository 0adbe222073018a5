"""`depends`: the files that a set-up reads, by patterns. Their contents are a part of its identity."""

import fnmatch
import functools
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.errors import InvalidOption
from servicectx.request.project import project
from servicectx.system.originals import open

MAGIC = frozenset("*?[")
#: Directories without sources; a pattern that begins in one of them still finds its files.
IGNORED = ("__pycache__", "node_modules")
ENVIRONMENT = "pyvenv.cfg"  # a directory with this file is a virtual environment

Parts = tuple[str, ...]
MATCHED: frozenset[Parts] = frozenset({()})  # nothing of the pattern is left

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
        lines = sorted(f"{name}\0{self._content(file)}\n" for file, name in self._files().items())
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()

    def check(self) -> None:
        """Raise InvalidOption for a pattern without a match."""
        self._files()

    def covers(self, directory: str) -> bool:
        """Whether the patterns match all migrations of Django directly in a directory: no name begins with `_` or `~`.

        Raises InvalidOption, as `check`.
        """
        found = set(map(os.path.realpath, self._files()))
        files = [file for file in _matches(directory, ("*.py",)) if os.path.basename(file)[0] not in "_~"]
        return all(os.path.realpath(file) in found for file in files)

    def of(self, step: Any) -> "Depends":
        """The files of a callable itself: the patterns in its attribute `depends`. Raises InvalidOption."""
        return self._replace(patterns=patterns(self.service, _own(step), f"the attribute `depends` of {step!r}: "))

    def without_patterns(self) -> "Depends":
        return self._replace(patterns=())

    def _files(self) -> dict[str, str]:
        """The names of the files, by path. A name is relative to `root`, so it is equal in another checkout.

        The name of a file elsewhere is relative to the directory of the search. Several files may have the same name.
        """
        found: dict[str, str] = {}
        for pattern in self.patterns:
            base, rest = _split(os.path.join(self.root, os.path.expanduser(pattern)))
            try:
                files = {file: _name(file, self.root, base) for file in _matches(base, rest)}
            except OSError as error:
                raise self._error(f"{error.filename} cannot be searched: {error.strerror}") from None
            if not files:
                raise self._error(self._unmatched(pattern, base))
            for file, name in files.items():  # the order of the patterns has no effect
                found[file] = min(name, found.get(file, name))
        return found

    def _content(self, file: str) -> str:
        """The hash of a file. Raises InvalidOption for a file that cannot be read."""
        try:
            with open(file, "rb", buffering=0, opener=_without_waiting) as opened:
                if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):  # replaced since the search
                    return ""
                return hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise self._error(f"{file} cannot be read: {error.strerror}") from None

    def _unmatched(self, pattern: str, base: str) -> str:
        place = base if os.path.isdir(base) else os.path.dirname(base)
        missing = "" if os.path.isdir(place) else ", which does not exist"
        return (
            f"no file matches {pattern!r}; searched: {place}{missing}\n"
            f"patterns are relative to the project, {self.root}; hidden files are matched only by name; "
            "sockets, FIFOs and devices are left out"
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


def _split(pattern: str) -> tuple[str, Parts]:
    """The longest path without wildcards, and the parts after it."""
    parts = os.path.normpath(pattern).split(os.sep)
    plain = next((index for index, part in enumerate(parts) if MAGIC & set(part)), len(parts))
    return os.sep.join(parts[:plain]) or os.sep, tuple(parts[plain:])


def _matches(base: str, parts: Parts) -> Iterator[str]:
    """The regular files at `base` that match; a matched directory means all files in it. Raises OSError.

    Links to directories are followed. A directory is searched once for the same rest of the pattern, so links that form
    a circle come to an end. Directories with short paths are searched first, so the paths do not depend on the system.
    """
    if os.path.isfile(base):
        if not parts:
            yield base
        return
    hidden = any(part.startswith(".") for part in parts)
    searched = set()
    folders = [(base, _reduced(_rests(parts)))]
    for folder, rests in folders:
        if (state := (_identity(folder), rests)) in searched:
            continue
        searched.add(state)
        for name in _entries(folder):
            path, left = os.path.join(folder, name), _after(rests, name)
            if not left or (name.startswith(".") and not hidden):
                continue
            kind = _kind(path)
            if kind == stat.S_IFDIR:
                if _is_searched(path):
                    folders.append((path, left))
            elif kind == stat.S_IFREG and left is MATCHED and not name.endswith(".pyc"):
                yield path


def _identity(folder: str) -> tuple[int, int] | None:
    """The device and the inode of a directory, equal for all paths to it; None for a missing directory."""
    try:
        status = os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):  # without any file, an error about the pattern follows
        return []


def _kind(path: str) -> int:
    """The type of the file that a path leads to. A broken link counts as a regular file: to open it is an error."""
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except OSError:
        return stat.S_IFREG


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a FIFO is opened without a wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _is_searched(folder: str) -> bool:
    return os.path.basename(folder) not in IGNORED and not os.path.exists(os.path.join(folder, ENVIRONMENT))


def _rests(parts: Parts) -> Iterator[Parts]:
    """The parts, also without a `**` at their beginning, which may stand for no directory."""
    yield parts
    if parts[:1] == ("**",):
        yield from _rests(parts[1:])


def _after(rests: frozenset[Parts], name: str) -> frozenset[Parts]:
    """The possible rests of a pattern below the entry `name`: MATCHED if the entry matches, empty if nothing can."""
    if rests is MATCHED:
        return MATCHED
    return _reduced(
        rest
        for first, *more in rests
        if first == "**" or fnmatch.fnmatchcase(name, first)
        for rest in _rests((first, *more) if first == "**" else tuple(more))
    )


def _reduced(rests: Iterable[Parts]) -> frozenset[Parts]:
    found = frozenset(rests)
    return MATCHED if () in found else found


def _name(file: str, root: Path, base: str) -> str:
    start = os.path.join(root, "")
    if file.startswith(start) and start != os.sep:
        return file.removeprefix(start)
    return os.path.join("<elsewhere>", os.path.relpath(file, os.path.dirname(base)))
