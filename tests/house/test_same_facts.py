"""Texts and tables of the documentation that must be equal to one another, or to the code."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from servicectx import managed
from servicectx.services.plan import Plan, Ports, SnapshotSupport

ROOT = Path(__file__).parents[2]
LINK_TARGET = re.compile(r"\]\([^)]*\)")
BESIDE_PLAN = {"account": "root", "ports": "one port"}  # defaults that the table names by their effect


def landing(page: Path) -> tuple[str, str]:
    """The text before "Five doors" without its title, and the comparison table, both without targets of links."""
    text = LINK_TARGET.sub("]", page.read_text(encoding="utf-8"))
    return (
        text[text.index("servicectx gives") : text.index("## Five doors")],
        text[text.index("| choose |") :].partition("\n\n")[0],
    )


def test_readme_and_landing_page_begin_alike() -> None:
    assert landing(ROOT / "README.md") == landing(ROOT / "docs/index.md")


def columns(page: str, head: str) -> list[tuple[str, str]]:
    """The first and the last cell of each row below the tables with this head."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    tables = [part.partition("\n\n")[0] for part in text.split(f"\n{head}\n")[1:]]
    assert tables, f"{page} has no table with the head {head}"
    rows = [re.split(r" (?<!\\)\| ?", line.removeprefix("| ")) for part in tables for line in part.splitlines()[1:]]
    return [(row[0], row[2].strip("| ")) for row in rows]


def test_the_guide_has_the_arguments_of_managed() -> None:
    found = [name for cell, _ in columns("guide.md", "| argument | meaning | default |") for name in cell.split(", ")]
    parameters = inspect.signature(managed).parameters.values()
    keywords = [f"`{parameter.name}`" for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    assert sorted(found) == sorted(keywords)


def shown(value: Any) -> str:
    """A default as the tables show it."""
    if isinstance(value, tuple) and value:
        parts = [shown(part) for part in value]
        return "none" if {*parts} == {"none"} else ", ".join(parts)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value // 2**20} MiB" if value >= 2**20 else f"{value:g}"
    if not value:
        return "none"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def fields(kind: Any, beside: dict[str, str]) -> dict[str, str]:
    """The fields of a named tuple, each with its default as the tables show it."""
    defaults = kind._field_defaults
    return {
        f"`{name}`": beside.get(name) or (shown(defaults[name]) if name in defaults else "") for name in kind._fields
    }


def test_the_page_of_own_services_has_the_fields_of_a_plan() -> None:
    assert dict(columns("own-services.md", "| field | meaning | default |")) == fields(Plan, BESIDE_PLAN)
    for kind, head in ((Ports, "ports=Ports(...)"), (SnapshotSupport, "snapshot=SnapshotSupport(...)")):
        assert dict(columns("own-services.md", f"| field of `{head}` | meaning | default |")) == fields(kind, {})
