"""The table of extensions on the page of Postgres, from the servers of this machine.

    python -m tests.services.extension_table

It writes a column for each server that is installed here, and a row for each extension that not every server has.
"""

import re
from pathlib import Path
from typing import NamedTuple

from servicectx.services import registry, version_choice
from servicectx.services.postgres import extensions

PAGE = Path(__file__).parents[2] / "docs/services/postgres.md"
BEGIN = "<!-- the extensions: python -m tests.services.extension_table writes them -->\n"
END = "<!-- end of the extensions -->\n"
EVERYWHERE = "All of them have: "
MINIMAL = 5  # extensions: a server with fewer does not count for "all"


class Column(NamedTuple):
    """A server: its origin and version, and its extensions."""

    title: str
    extensions: frozenset[str]


def servers() -> list[Column]:
    service = registry.find("postgres")
    return [
        Column(_title(server), frozenset(extensions.available(server.path)))
        for server in version_choice.servers(service)
        if server.refusal is None
    ]


def render(columns: list[Column]) -> str:
    large = [column.extensions for column in columns if len(column.extensions) > MINIMAL]
    common = frozenset.intersection(*large)
    names = sorted(frozenset().union(*(column.extensions for column in columns)) - common)
    minimal = [column for column in columns if column.extensions < common | set(names) and len(column.extensions) <= 5]
    lines = [f"| extension | {' | '.join(column.title for column in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = ["yes" if name in column.extensions else "-" for column in columns]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    for column in minimal:
        only = sorted(column.extensions & common)
        lines += ["", f"{column.title} has, besides the table, only: {_codes(only)}."]
    return "\n".join([*lines, "", f"{EVERYWHERE}{_codes(sorted(common))}.", ""])


def read() -> dict[str, frozenset[str]]:
    """The extensions of each server in the table of the page, by title."""
    part = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
    common = set(re.findall("`(.+?)`", part.partition(EVERYWHERE)[2]))
    found = {}
    for index, title in enumerate(rows[0][1:], 1):
        own = {row[0].strip("`") for row in rows[2:] if row[index] == "yes"}
        only = re.search(rf"^{re.escape(title)} has, besides the table, only: (.+)\.$", part, re.MULTILINE)
        found[title] = frozenset(own | (set(re.findall("`(.+?)`", only[1])) if only else common))
    return found


def _title(server: version_choice.Server) -> str:
    wheel = server.origin.removeprefix("from the wheel ")
    origin = wheel if wheel != server.origin else "Debian" if "/usr/lib/postgresql/" in server.path else "the system"
    return f"{origin}, {server.version}"


def _codes(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{render(servers())}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
