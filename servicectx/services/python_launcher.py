"""A program: `python -P -u launcher.py ORDER SOCKET` calls what the order names, with the socket's descriptor."""

import os
import sys

INSTALLED = ("site-packages", "dist-packages")
LIBRARY = os.path.dirname(os.__file__)
ZIP = f"python{sys.version_info.major}{sys.version_info.minor}.zip"


def library_first(path: "list[str]") -> list[str]:
    """The same, with the standard library first: no other file is taken for a module of it."""
    ends = (LIBRARY, os.path.join(LIBRARY, "lib-dynload"))
    return sorted(path, key=lambda place: place not in ends and os.path.basename(place) != ZIP)


def write_nothing_into_projects() -> None:
    """Let modules that are compiled be kept for installed packages alone, whose next start is then fast.

    What is there already is read; where the user has a place of their own for all of them, they go there.
    """
    from importlib.machinery import SourceFileLoader
    from typing import Any

    write = SourceFileLoader.set_data

    def set_data(loader: SourceFileLoader, path: str, data: Any, **more: Any) -> None:
        installed = not {*INSTALLED}.isdisjoint(path.split(os.sep))
        if path.startswith(LIBRARY + os.sep) or installed or sys.pycache_prefix:
            write(loader, path, data, **more)

    SourceFileLoader.set_data = set_data  # type: ignore[assignment, method-assign]


def main() -> None:
    sys.path[:] = library_first(sys.path)  # before anything else is imported
    import json
    import pkgutil
    from pathlib import Path

    file, descriptor = sys.argv[1:]
    del sys.argv[1:]
    order = json.loads(Path(file).read_text(encoding="utf-8"))
    callers_path = order["path"] or [order["here"], *sys.path, str(Path(__file__).parents[2])]
    sys.path[:] = library_first(callers_path)
    os.set_inheritable(int(descriptor), False)
    write_nothing_into_projects()
    from servicectx.services import serving

    serving.callers_path = callers_path
    pkgutil.resolve_name(order["target"])(int(descriptor), **order["arguments"])


if __name__ == "__main__":
    main()
