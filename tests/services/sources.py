"""The sources of a service's servers, from its searches, the extras and the contents of packages."""

import configparser
import functools
import re
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.services.base import Service
from servicectx.services.binaries import HOMEBREW, Search

SETUP = Path(__file__).parents[2] / "setup.cfg"


def searches(service: Service[Any]) -> list[Search]:
    """The searches for its server. Searches for clients and Java have other service names."""
    members = [member for kind in type(service).__mro__ for member in vars(kind).values()]
    return [member for member in members if isinstance(member, Search) and member.service == service.name]


def programs(service: Service[Any]) -> list[str]:
    return [program for search in searches(service) for program in search.programs]


def servers(service: Service[Any]) -> list[str]:
    """The requirements of its extra that contain a server."""
    return [wanted for wanted in extras().get(service.name, ()) if _has_server(_project(wanted), service)]


def clients(service: Service[Any]) -> list[str]:
    """The other requirements of its extra."""
    return [wanted for wanted in extras().get(service.name, ()) if not _has_server(_project(wanted), service)]


def projects(service: Service[Any]) -> list[str]:
    """All packages on PyPI with a server: the extra's first, packages that no extra requires last."""
    every = extras()
    known = dict.fromkeys([*every.get(service.name, ()), *(wanted for some in every.values() for wanted in some)])
    found = [wanted for wanted in known if _has_server(_project(wanted), service)]
    for search in searches(service):
        for package, _ in search.wheels:
            if not any(_holds(_project(wanted), package) for wanted in found):
                found.append(package.replace("_", "-"))
    return found


def formulas(service: Service[Any]) -> list[str]:
    return [formula for search in searches(service) for formula in search.formulas]


def places(service: Service[Any]) -> list[str]:
    """Variables and directories that are searched besides PATH and formulas."""
    found = [place for search in searches(service) for place in (*search.homes, *search.trees)]
    return list(dict.fromkeys(re.sub(rf"^({'|'.join(HOMEBREW)})/", "Homebrew's opt/", place) for place in found))


def extras() -> dict[str, list[str]]:
    """The requirements of each extra, without versions and markers."""
    setup = configparser.ConfigParser()
    setup.read(SETUP)
    return {
        extra: [re.split(r"[<>=;~!\s]", line)[0] for line in lines.split("\n") if line and "servicectx[" not in line]
        for extra, lines in setup["options.extras_require"].items()
    }


def _project(requirement: str) -> str:
    return requirement.partition("[")[0]


def _has_server(project: str, service: Service[Any]) -> bool:
    """Whether a package holds one of the service's programs. A package for other platforms is matched by name."""
    held = _held(project)
    if held is None:
        return any(_holds(project, package) for search in searches(service) for package, _ in search.wheels)
    return not held.files.isdisjoint(programs(service))


def _holds(project: str, package: str) -> bool:
    held = _held(project)
    return project.replace("-", "_") == package if held is None else package in held.folders


class Held(NamedTuple):
    """The names of a project's files, and of the folders at its top."""

    files: frozenset[str]
    folders: frozenset[str]


@functools.cache
def _held(project: str) -> Held | None:
    """The files of an installed project, else None."""
    try:
        files = [str(file).split("/") for file in metadata.files(project) or ()]
    except metadata.PackageNotFoundError:
        return None
    return Held(frozenset(file[-1] for file in files), frozenset(file[0] for file in files))
