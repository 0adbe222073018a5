"""The table of services in the documentation: made from the services themselves, and from what was measured last.

`python -m tests.services.page` writes it; `--measure` first starts every service that is here, which takes minutes.
"""

import argparse
import configparser
import inspect
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from servicectx import managed, service_names
from servicectx.services import registry
from servicectx.services.base import Service, option_names
from tests.services import table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/services/index.md"
MEASURED = ROOT / "docs/services/measured.json"
BEGIN, END = "<!-- the table: python -m tests.services.page writes it -->\n", "<!-- end of the table -->"
STARTS = 5
COMMON = {"service", "name", "host", "port", "external", "version"}
HEAD = ("service", "server, first found", "ready", "options", "details", "`isolated()`", "as root")


def render(measured: dict[str, Any]) -> str:
    """The table, and under it where its figures come from."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    lines += [f"| {' | '.join(_cells(name, measured['services'].get(name, [])))} |" for name in service_names()]
    note = (
        "ready: milliseconds until `managed()` has given the details of a fresh instance, the median of "
        f"{STARTS} starts on {measured['machine']}, prepared data in the cache, with the servers named."
    )
    return "\n".join([*lines, "", note, ""])


def page(measured: dict[str, Any]) -> str:
    """The whole page with a fresh table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{render(measured)}\n{END}{rest.partition(END)[2]}"


def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def _cells(name: str, figures: list[dict[str, Any]]) -> list[str]:
    service = registry.find(name)
    others = [alias for alias, meant in registry.ALIASES.items() if meant == name]
    called = f"[`{name}`]({name}.md)" + "".join(f", `{alias}`" for alias in others)
    fields = [field for field in service.details_model().model_fields if field not in COMMON]
    return [
        called,
        _servers(service, name),
        "<br>".join(f"{each['ms']} ({each['server']})".removesuffix(" ()") for each in figures) or "not run here",
        _codes(option_names(service.Options)),
        _codes([*fields, *_forms(service.details_model())]),
        service.namespace or "no",
        "as another account" if "account_for_root" in inspect.getsource(inspect.getmodule(service)) else "as root",
    ]


def _servers(service: Service[Any], name: str) -> str:
    searches = [search for search in (getattr(service, "search", None),) if search]
    programs = [program for search in searches for program in search.programs]
    return _codes(programs) + (f"; `servicectx[{name}]`" if name in _extras() else "")


def _forms(model: type[Any]) -> list[str]:
    """The properties in which details say how to connect."""
    ours = [kind for kind in model.__mro__ if kind.__module__.startswith("servicectx.")]
    return list(dict.fromkeys(name for kind in ours for name in vars(kind) if isinstance(vars(kind)[name], property)))


def _codes(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _extras() -> set[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return set(setup["options.extras_require"])


def measure() -> dict[str, Any]:
    """Start every service that is here, and see how long each took."""
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="sctx-", dir=os.environ.get("TMPDIR", "/dev/shm")) as place:
        Path(place).chmod(0o711)
        os.environ["SERVICECTX_HOME"] = place
        for row in filter(table.there, table.ROWS):
            with table.chosen(row):
                took, version = [], None
                for _ in range(STARTS + 1):
                    one = managed(row.service, scope="private", **row.options)
                    with one as details:
                        version = getattr(details, "version", None)
                    took.append(one.took * 1000)
            server = " ".join(filter(None, (row.variant, version)))
            found.setdefault(row.service, []).append({"server": server, "ms": round(statistics.median(took[1:]))})
            print(row, found[row.service][-1], flush=True)
    return {"machine": f"{os.cpu_count()} cores", "services": found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.services.page", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure anew")
    if parser.parse_args().measure:
        MEASURED.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(measured()), encoding="utf-8")
