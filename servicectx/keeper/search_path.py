"""Where the processes of a keeper find modules: the standard library first, whatever the caller's path begins with.

A file of the project named `select.py`, or a package of the environment that brings `typing` or `uuid` for old Pythons,
would otherwise take the place of a standard module in a keeper. A service of the user's own may name functions of
the caller's modules; only then the caller's path counts, and still after the standard library.
"""

import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from servicectx.system.originals import json

DEPENDENCIES = ("mirakuru", "filelock", "platformdirs", "psutil")  # pydantic is for callers alone

# The start of a program for `python -I -S -c`: its own path is the standard library, and nothing else.
BEGIN = (
    "import gc, json, sys; gc.disable(); ours, theirs = json.loads(sys.argv[1]); sys.path += ours; "
    "from servicectx.keeper import search_path; search_path.callers = theirs; "
)

callers: list[str] = []  # in a keeper's processes: the caller's path, until a module of the caller's is needed

_found: dict[tuple[str, ...], list[str]] = {}


def argument() -> str:
    """What `BEGIN` reads, in a caller's process."""
    theirs = tuple(filter(os.path.isabs, sys.path))
    if theirs not in _found:
        _found[theirs] = list(dict.fromkeys([str(Path(__file__).parents[2]), *_places()]))
    return json.dumps([_found[theirs], theirs])


def argument_again() -> str:
    """The same, in a keeper."""
    return json.dumps([[place for place in sys.path if place not in _library()], callers])


def load(name: str) -> Any:
    """The module of that name: one of this package, else one that the caller could import."""
    if callers and name.partition(".")[0] != "servicectx":
        ours = [place for place in sys.path if place not in _library()]
        sys.path[:] = dict.fromkeys([*_library(), *callers, *ours])
        callers.clear()
    return importlib.import_module(name)


def _library() -> list[str]:
    """The standard library: below its directory, and beside it as a zip file."""
    place = os.path.dirname(os.__file__)
    return [entry for entry in sys.path if entry in (place, os.path.join(place, "lib-dynload")) or _is_zip(entry)]


def _is_zip(entry: str) -> bool:
    return os.path.basename(entry) == f"python{sys.version_info.major}{sys.version_info.minor}.zip"


def _places() -> list[str]:
    """The directories that hold what this package needs, each found as the caller finds it."""
    specs = [find_spec(name) for name in DEPENDENCIES]
    return [os.path.dirname(os.path.dirname(spec.origin)) for spec in specs if spec is not None and spec.origin]
