"""Where a set-up comes from, in the names of snapshots: the same in every checkout, if the set-up declares its files.

A project is known by the name that it declares, so that a checkout at another path finds the snapshots of the first. A
project without a name is known by its path, and so is a set-up without a source file.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from servicectx.request.fingerprint import source
from servicectx.request.project import project
from servicectx.system import files

INSTALLED = ("site-packages", "dist-packages")
LIMIT = 2**24  # bytes of a configuration file


def origin(step: Any, declares: bool) -> str:
    """The place of a callable: its source file, for a callable that `declares` its files in the project.

    Different projects may have the same set-up with different files beside it. A callable that does not declare them is
    bound to its path, and a callable without a source file to the path of its project.
    """
    try:
        root = project()
    except FileNotFoundError:  # the working directory was removed
        return source(step)
    file = source(step)
    if file[:1] in ("", "<"):  # no source, or code without a file: known by its name alone
        return f"{root} {file}"
    if not declares:
        return file
    return f"{declared_name(root) or root} {_place(Path(file), root)}"


def directory() -> str:
    """The directory of the project; "" where the working directory was removed."""
    try:
        return str(project())
    except FileNotFoundError:
        return ""


def declared_name(root: Path) -> str | None:
    """The name in pyproject.toml or setup.cfg; None without one, and for a file that cannot be read."""
    for name, parse in (("pyproject.toml", _from_toml), ("setup.cfg", _from_cfg)):
        with contextlib.suppress(files.Unreadable, ValueError):
            found = parse(files.read(root / name, LIMIT).decode())
            if isinstance(found, str) and found.strip():
                return found.strip()
    return None


def _place(file: Path, root: Path) -> str:
    parts = file.parts
    for index in range(len(parts) - 1, 0, -1):  # first: a virtual environment may be in the project
        if parts[index] in INSTALLED:
            return os.path.join("<installed>", *parts[index + 1 :])
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)


def _from_toml(text: str) -> Any:
    import tomllib

    tables = tomllib.loads(text)
    poetry = _table(_table(tables, "tool"), "poetry")
    return _table(tables, "project").get("name") or poetry.get("name")


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    found = tables.get(name)
    return found if isinstance(found, dict) else {}


def _from_cfg(text: str) -> str | None:
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    return parser.get("metadata", "name", fallback=None)
