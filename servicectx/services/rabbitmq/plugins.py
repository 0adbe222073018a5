"""Which of RabbitMQ's applications some plugins need: the server looks through those it can see, and loads them all."""

import re
from collections.abc import Iterable
from pathlib import Path

from servicectx.errors import InvalidOption

_NEEDS = re.compile(r"\{(?:applications|included_applications),\s*\[([^\]]*)\]")


def needed(folder: Path, wanted: Iterable[str]) -> list[Path]:
    """Their directories below `folder`; `wanted` are names of applications, looked at with all that they need.

    Raises InvalidOption for one that is not there.
    """
    there = {path.name.rpartition("-")[0]: path for path in folder.glob("*-*")}
    found: dict[str, Path] = {}
    for name in wanted:
        if name not in there:
            plugins = sorted(each for each in there if each.startswith("rabbitmq_"))
            raise InvalidOption(
                service="rabbitmq", option="plugins", problem=f"{folder} has no {name!r}; it has", known=plugins
            )
        _follow(name, there, found)
    return list(found.values())


def _follow(name: str, there: dict[str, Path], found: dict[str, Path]) -> None:
    if name in found or name not in there:  # Erlang's own ones are elsewhere
        return
    found[name] = there[name]
    told = there[name] / "ebin" / f"{name}.app"
    if not told.is_file():  # an archive: nobody can tell, so all of them
        found.update(there)
        return
    for needs in _NEEDS.findall(told.read_text(encoding="utf-8")):
        for each in re.findall(r"[a-z]\w*", needs):
            _follow(each, there, found)
