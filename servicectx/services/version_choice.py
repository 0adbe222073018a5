"""The choice among several servers of one service: by version, flavour, and what the options need.

Without one of these options the first server found is taken, and no program runs. With `version` each server found is
run with `--version`, in the order of the search, until one matches.
"""

import operator
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol, Self

from servicectx.errors import BinaryNotFound, InvalidOption
from servicectx.services import binaries
from servicectx.services.binaries import Located, Search
from servicectx.system import interpreter

FORMS = 'give a version such as "16" or "16.2", or a range such as ">=16" or ">=15,<18"'
COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
COMPARE["!="] = operator.ne


@dataclass(frozen=True, kw_only=True)
class VersionOptions:
    """`version`: the version of the server, such as "16", 16 or ">=15,<18"; the default is the first server found."""

    version: str | int | None = None

    def __post_init__(self) -> None:
        """Equal versions must be equal texts, because options are a part of the key."""
        if self.version is not None:
            text = re.sub(r"\s+(?=[,<>=!])|(?<=[,<>=!])\s+", "", str(self.version).strip())
            object.__setattr__(self, "version", text)


class VersionRange(NamedTuple):
    """A version or a range. Each clause compares as many numbers as it has: 16.4 is "16" and "<=16", not ">16"."""

    text: str
    clauses: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, which shows the accepted forms."""
        clauses = []
        for part in text.split(","):
            found = re.fullmatch(r"(>=|<=|>|<|==|!=|)(\d+(?:\.\d+)*)", part)
            if found is None:
                raise ValueError(f"{text!r} is not a version; {FORMS}")
            clauses.append((found[1] or "==", _numbers(found[2])))
        return cls(text, tuple(clauses))

    def matches(self, version: str | None) -> bool:
        """Whether a server's version is in the range. An unknown version is in no range."""
        numbers = _numbers(version or "")
        if not numbers:
            return False
        return all(COMPARE[sign](_cut(numbers, len(wanted)), wanted) for sign, wanted in self.clauses)

    def includes_major(self, major: int) -> bool:
        """Whether a server of that major version may be in the range."""
        clauses = [(sign, wanted) for sign, wanted in self.clauses if sign != "!=" or len(wanted) == 1]
        loose = {">": operator.ge, "<": operator.le}  # with more numbers: 16.4 is in ">16.2"
        return all(
            (COMPARE[sign] if len(wanted) == 1 else loose.get(sign, COMPARE[sign]))(major, wanted[0])
            for sign, wanted in clauses
        )

    @property
    def example(self) -> str | None:
        """A version to install: the number of the first clause that includes it."""
        found = (numbers for sign, numbers in self.clauses if sign in ("==", ">=", "<="))
        numbers = next(found, None)
        return None if numbers is None else ".".join(map(str, numbers))


class Chooser(Protocol):
    """The methods of a service that the choice uses. `Service` documents them."""

    @property
    def name(self) -> str: ...
    def version(self, program: str) -> str | None: ...
    def refusal(self, program: str) -> str | None: ...
    def lacks(self, options: Any, program: str) -> str | None: ...
    def install_for(self, options: Any) -> dict[str, str]: ...


class Server(NamedTuple):
    """A server found on this machine. `refusal`: why it cannot be used, or None."""

    path: str
    origin: str
    version: str | None
    refusal: str | None


def check(service: str, options: Any) -> None:
    """Raise InvalidOption for a version that cannot be read."""
    if isinstance(options, VersionOptions) and options.version is not None:
        try:
            VersionRange.parse(str(options.version))
        except ValueError as error:
            known = [field.name for field in fields(options)]
            raise InvalidOption(service=service, option="version", problem=str(error), known=known) from None


def choose(service: Chooser, search: Search, options: Any) -> str:
    """The first server that fits the options. Raises BinaryNotFound, which lists each server found and its problem."""
    looked: list[str] = []
    refused, unfit = [], []
    for path, _ in _each(search, looked):
        if reason := service.refusal(path):
            refused.append(reason)
        elif problem := misfit(service, search, options, path):
            unfit.append((path, problem))
        else:
            return path
    if unfit:
        raise none_fits(service, search, options, looked, unfit)
    raise search.not_found(looked, "; ".join(refused) or None)


def misfit(service: Chooser, search: Search, options: Any, path: str) -> str | None:
    """Why the server at `path` does not fit the options, or None."""
    flavour = getattr(options, "flavour", None) if search.flavours else None
    if flavour is not None and flavour_of(search, path) != flavour:
        return "another flavour"
    wanted = version_range(options)
    if wanted is not None and not wanted.matches(version_of(service, path)):
        return "another version"
    return service.lacks(options, path)


def wishes(options: Any) -> list[str]:
    """What the options ask of a server, in words: "version >=16 asked"."""
    asked = [("version", getattr(version_range(options), "text", None))]
    asked += [(name, getattr(options, name, None)) for name in ("flavour", "server")]
    asked.append(("extensions", ", ".join(getattr(options, "extensions", ()))))
    return [f"{name} {value} asked" for name, value in asked if value]


def none_fits(
    service: Chooser, search: Search, options: Any, looked: list[str], unfit: list[tuple[str, str]]
) -> BinaryNotFound:
    """The error where servers were found, and none fits."""
    wanted = " and ".join(wish.removesuffix(" asked") for wish in wishes(options))
    lines = [f"{_label(service, search, path)} ({path}): {problem}" for path, problem in unfit]
    problem = "\n  ".join([f"no server here has {wanted}; servers found:", *lines])
    return search.not_found(looked, problem, service.install_for(options))


def reason(service: Chooser, options: Any, program: str) -> str | None:
    """Why `program` is the one that runs: its origin, and what the options ask. None for a program without a search.

    For a server that is a Python package, `program` is the Python interpreter.
    """
    search: Search | None = getattr(service, "search", None)
    if search is None:
        return None
    try:
        found = next((located for located in _each(search, []) if located.path == program), None)
    except BinaryNotFound:
        return None
    origin = _origin_of_package(search, program) if found is None else found.origin
    return None if origin is None else ", ".join([origin, *wishes(options)])


def _origin_of_package(search: Search, program: str) -> str | None:
    if not interpreter.PYTHON.fullmatch(os.path.basename(program)):
        return None
    return f"set by {search.variable}" if os.environ.get(search.variable) else "its package is installed"


def servers(service: Chooser) -> list[Server]:
    """All servers of a service found here, in the order of the search. Each one is asked for its version."""
    search: Search | None = getattr(service, "search", None)
    if search is None:
        return []
    try:
        found = list(_each(search, []))
    except BinaryNotFound:
        return []
    refusals = [(located, service.refusal(located.path)) for located in found]
    return [
        Server(path, origin, None if refusal else version_of(service, path), refusal)
        for (path, origin), refusal in refusals
    ]


def version_of(service: Chooser, path: str) -> str | None:
    """The version of a server, asked once in this process until the program changes."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    key = (service.name, path, status.st_mtime_ns, status.st_size)
    if key not in _versions:
        _versions[key] = service.version(path)
    return _versions[key]


def flavour_of(search: Search, path: str) -> str:
    """The flavour of a program. A link may have the name of another flavour than its target."""
    flavours = dict(search.flavours)
    name = os.path.basename(path)
    return flavours.get(os.path.basename(os.path.realpath(path))) or flavours.get(name) or name


_versions: dict[tuple[str, str, int, int], str | None] = {}


def _each(search: Search, looked: list[str]) -> Iterator[Located]:
    """Each program once, with links followed."""
    seen: set[str] = set()
    for located in binaries.locate(search, looked):
        path = binaries.real(located.path)
        if path not in seen:
            seen.add(path)
            yield Located(path, located.origin)


def _label(service: Chooser, search: Search, path: str) -> str:
    version = version_of(service, path) or "unknown version"
    return f"{flavour_of(search, path)} {version}" if search.flavours else version


def version_range(options: Any) -> VersionRange | None:
    """The versions that the options ask for, or None for any."""
    version = options.version if isinstance(options, VersionOptions) else None
    return None if version is None else VersionRange.parse(str(version))


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _cut(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    """The first `length` numbers; missing numbers are 0."""
    return (numbers + (0,) * length)[:length]
