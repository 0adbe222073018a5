"""Servers that are Python packages: run by this Python, with its search path, on an inherited socket."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from servicectx.services import binaries
from servicectx.services.plan import literal
from servicectx.services.serving import SERVING
from servicectx.system import interpreter
from servicectx.system.originals import json

READY = {"kind": "log", "pattern": f"^{SERVING}$"}
ORDER = "order.json"


def find(search: binaries.Search, packages: tuple[str, ...]) -> str:
    """This Python, if it has one of `packages`, or the Python beside the program that the user's variable names.

    Raises BinaryNotFound.
    """
    looked: list[str] = []
    if search.variable in os.environ:
        for path in binaries.as_written(search, looked):
            beside = os.path.join(os.path.dirname(os.path.abspath(path)), "python3")
            looked.append(beside)
            if os.access(beside, os.X_OK):
                return beside
        raise search.not_found(looked, f"{search.variable} is set, but there is no python3 beside what it names")
    if any(find_spec(package) for package in packages):
        try:
            return interpreter.path()
        except interpreter.NoInterpreter as error:
            raise search.not_found(error.looked, f"sys.executable is {sys.executable!r}, not a Python") from None
    raise search.not_found(
        [f"the Python package {package} (not installed for {sys.executable})" for package in packages]
    )


def _is_this(program: str) -> bool:
    try:
        return program == interpreter.path()
    except interpreter.NoInterpreter:
        return False


def version(program: str, packages: tuple[str, ...]) -> str | None:
    """The name and version of the first installed one of `packages`, or None for another Python."""
    if not _is_this(program):
        return None
    package = next(package for package in packages if find_spec(package))
    from importlib import metadata

    return f"{package} {metadata.version(package)}"


def command(program: str) -> list[str]:
    launcher = Path(__file__).with_name("python_launcher.py")
    return [literal(program), "-P", "-u", literal(str(launcher)), f"{{dir}}/{ORDER}", "{socket}"]


def files(program: str, target: str, **arguments: Any) -> dict[str, Any]:
    """The file that `command` reads. The launcher calls `target` ("module:function") with the descriptor of a
    listening socket and `arguments`.

    A Python other than this one uses its own search path.
    """
    here = [literal(os.path.abspath(entry)) for entry in sys.path]
    path = here if _is_this(program) else None
    json.dumps(arguments)  # raises TypeError here instead of in the keeper
    return {ORDER: {"path": path, "here": literal(os.getcwd()), "target": target, "arguments": arguments}}
