"""The applications that RabbitMQ plugins require. The server scans and loads every application that it finds."""

import re
from collections.abc import Iterable
from pathlib import Path

from servicectx.errors import InvalidOption

_NEEDS = re.compile(r"\{(?:applications|included_applications),\s*\[([^\]]*)\]")


def needed(folder: Path, names: Iterable[str]) -> list[Path]:
    """The directories below `folder` of the applications `names` and of all their dependencies.

    Raises InvalidOption for an unknown application.
    """
    available = {path.name.rpartition("-")[0]: path for path in folder.glob("*-*")}
    found: dict[str, Path] = {}
    for name in names:
        if name not in available:
            plugins = sorted(plugin for plugin in available if plugin.startswith("rabbitmq_"))
            raise InvalidOption(
                service="rabbitmq", option="plugins", problem=f"{folder} has no {name!r}; it has", known=plugins
            )
        _follow(name, available, found)
    return list(found.values())


def _follow(name: str, available: dict[str, Path], found: dict[str, Path]) -> None:
    if name in found or name not in available:  # applications of Erlang itself are elsewhere
        return
    found[name] = available[name]
    manifest = available[name] / "ebin" / f"{name}.app"
    if not manifest.is_file():  # an archive: its dependencies are unknown, so include every application
        found.update(available)
        return
    for needs in _NEEDS.findall(manifest.read_text(encoding="utf-8")):
        for dependency in re.findall(r"[a-z]\w*", needs):
            _follow(dependency, available, found)
