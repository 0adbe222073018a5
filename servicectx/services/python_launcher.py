"""A program: `python -P -u python_launcher.py FILE SOCKET` calls the file's target with the socket's descriptor."""

import os
import sys

INSTALLED = ("site-packages", "dist-packages")
LIBRARY = os.path.dirname(os.__file__)
ZIP = f"python{sys.version_info.major}{sys.version_info.minor}.zip"


def library_first(path: "list[str]") -> list[str]:
    """`path` with the standard library first, so that no other file shadows one of its modules."""
    ends = (LIBRARY, os.path.join(LIBRARY, "lib-dynload"))
    return sorted(path, key=lambda entry: entry not in ends and os.path.basename(entry) != ZIP)


def write_nothing_into_projects() -> None:
    """Write compiled modules for installed packages only, so that their next start is fast.

    Existing compiled modules are read. With `sys.pycache_prefix` set, all compiled modules are written below it.
    """
    from importlib.machinery import SourceFileLoader
    from typing import Any

    write = SourceFileLoader.set_data

    def set_data(loader: SourceFileLoader, path: str, data: Any, **options: Any) -> None:
        installed = not {*INSTALLED}.isdisjoint(path.split(os.sep))
        if path.startswith(LIBRARY + os.sep) or installed or sys.pycache_prefix:
            write(loader, path, data, **options)

    SourceFileLoader.set_data = set_data  # type: ignore[assignment, method-assign]


def main() -> None:
    sys.path[:] = library_first(sys.path)  # before any other import
    import json
    import pkgutil
    from pathlib import Path

    file, descriptor = sys.argv[1:]
    del sys.argv[1:]
    command = json.loads(Path(file).read_text(encoding="utf-8"))
    callers_path = command["path"] or [command["here"], *sys.path, str(Path(__file__).parents[2])]
    sys.path[:] = library_first(callers_path)
    os.set_inheritable(int(descriptor), False)
    write_nothing_into_projects()
    from servicectx.services import serving

    serving.callers_path = callers_path
    pkgutil.resolve_name(command["target"])(int(descriptor), **command["arguments"])


if __name__ == "__main__":
    main()
