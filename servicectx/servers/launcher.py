"""A program: `python -P -u launcher.py ORDER SOCKET` calls what the order names, with the socket's descriptor."""

import json
import os
import pkgutil
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

INSTALLED = ("site-packages", "dist-packages")


def write_nothing_into_projects() -> None:
    """Let modules that are compiled be kept for installed packages alone, whose next start is then fast.

    What is there already is read; where the user has a place of their own for all of them, they go there.
    """
    library = os.path.dirname(os.__file__) + os.sep
    write = SourceFileLoader.set_data

    def set_data(loader: SourceFileLoader, path: str, data: Any, **more: Any) -> None:
        if path.startswith(library) or not {*INSTALLED}.isdisjoint(path.split(os.sep)) or sys.pycache_prefix:
            write(loader, path, data, **more)

    SourceFileLoader.set_data = set_data  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    file, descriptor = sys.argv[1:]
    del sys.argv[1:]
    order = json.loads(Path(file).read_text(encoding="utf-8"))
    sys.path[:] = order["path"] or [order["here"], *sys.path, str(Path(__file__).parents[2])]
    os.set_inheritable(int(descriptor), False)
    write_nothing_into_projects()
    pkgutil.resolve_name(order["target"])(int(descriptor), **order["arguments"])
