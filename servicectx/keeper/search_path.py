"""The module search path of a keeper's processes: the standard library first, then this package's dependencies.

Otherwise a project file named `select.py`, or an installed backport of `typing` or `uuid`, could replace a standard
module in a keeper. A user's own service may name functions of the caller's modules; only then is the caller's path
added, after the standard library.
"""

import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from servicectx.system.originals import json

DEPENDENCIES = ("mirakuru", "filelock", "platformdirs", "psutil")  # without pydantic, which only callers use

# The start of a program for `python -I -S -c`, which has only the standard library in its path.
BEGIN = (
    "import gc, json, sys; gc.disable(); ours, theirs = json.loads(sys.argv[1]); sys.path += ours; "
    "from servicectx.keeper import search_path; search_path.callers = theirs; "
)

callers: list[str] = []  # in a keeper's processes: the caller's path, until a caller's module is needed

_found: dict[tuple[str, ...], list[str]] = {}


def argument() -> str:
    """The argument that `BEGIN` reads, made in a caller's process."""
    theirs = tuple(filter(os.path.isabs, map(_entry, sys.path)))
    if theirs not in _found:
        _found[theirs] = list(dict.fromkeys([str(Path(__file__).parents[2]), *_places()]))
    return json.dumps([_found[theirs], theirs])


def _entry(entry: str) -> str:
    """The entry of a search path, with the working directory for "", which `python -c` has."""
    if entry:
        return entry
    try:
        return os.getcwd()
    except OSError:
        return ""


def argument_again() -> str:
    """The argument that `BEGIN` reads, made in a keeper."""
    return json.dumps([[place for place in sys.path if place not in _library()], callers])


def load(name: str) -> Any:
    """Import a module of this package, else one that the caller could import."""
    if callers and name.partition(".")[0] != "servicectx":
        ours = [place for place in sys.path if place not in _library()]
        sys.path[:] = dict.fromkeys([*_library(), *callers, *ours])
        callers.clear()
    return importlib.import_module(name)


def _library() -> list[str]:
    """The entries of the standard library: its directory, its extensions, and a zip file."""
    place = os.path.dirname(os.__file__)
    return [entry for entry in sys.path if entry in (place, os.path.join(place, "lib-dynload")) or _is_zip(entry)]


def _is_zip(entry: str) -> bool:
    return os.path.basename(entry) == f"python{sys.version_info.major}{sys.version_info.minor}.zip"


def _places() -> list[str]:
    """The directories of this package's dependencies, as the caller's Python finds them."""
    specs = [find_spec(name) for name in DEPENDENCIES]
    return [os.path.dirname(os.path.dirname(spec.origin)) for spec in specs if spec is not None and spec.origin]
