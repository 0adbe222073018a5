"""Tables of instances: fitted to the width of a terminal, elsewhere as plain columns."""

import os

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from servicectx.cli import console
from servicectx.cli.instance_status import InstanceStatus
from servicectx.cli.instances import holder

WIDE = 120  # columns of a terminal with room for scope and holders beside the other columns
NARROW = 72  # columns of a terminal with room for the other columns
STYLES = {"in use": "green", "up": "cyan", "starting": "yellow", "stopping": "yellow", "elsewhere": "blue"}
HEAD = ("NAME", "SERVICE", "ADDRESS", "STATE", "AGE", "MEMORY", "DATA")
SHOWN_HOLDERS = 5


def status(every: list[InstanceStatus], width: int) -> RenderableType:
    if not every:
        return Text("nothing runs", style="dim")
    return (_wide if width >= WIDE else _narrow if width >= NARROW else _tiny)(every)


def plain_status(every: list[InstanceStatus]) -> str:
    if not every:
        return "nothing runs"
    rows = [
        [*_cells(each), each.scope, "; ".join(map(holder, each.holders)) or "-", each.waits_for or "-"]
        for each in every
    ]
    return console.plain([*HEAD, "SCOPE", "HOLDERS", "WAITS FOR"], rows)


def _cells(each: InstanceStatus) -> list[str]:
    return [
        each.name,
        f"{each.service} {each.version}" if each.version else each.service,
        each.address or "-",
        each.state,
        console.age(each.age),
        console.size(each.memory),
        console.size(each.data),
    ]


def _styled(each: InstanceStatus) -> list[Text]:
    name, service, address, state, *rest = _cells(each)
    colour = STYLES.get(each.state, "red")
    return [Text(name, "bold"), Text(service), Text(address), Text(state, colour), *map(Text, rest)]


def _table(every: list[InstanceStatus]) -> Table:
    """Names may be folded on a narrow terminal. Addresses and sizes are never cut, because a part is useless."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    rows = [_cells(each) for each in every]
    for number, title in enumerate(HEAD):
        justify: JustifyMethod = "right" if title in ("AGE", "MEMORY", "DATA") else "left"
        if title == "NAME":
            table.add_column(title, overflow="fold", justify=justify)
        else:
            width = max(len(title), *(len(row[number]) for row in rows))
            table.add_column(title, no_wrap=True, justify=justify, min_width=width)
    return table


def _wide(every: list[InstanceStatus]) -> RenderableType:
    table = _table(every)
    table.add_column("SCOPE", overflow="fold")
    table.add_column("HELD BY, OR WAITS FOR", overflow="fold", ratio=1)
    table.expand = True
    for each in every:
        lines = [Text(line) for line in _holder_lines(each)]
        if each.waits_for:
            lines.append(Text(each.waits_for, "dim"))
        table.add_row(*_styled(each), Text(_scope(each), "dim"), Text("\n").join(lines))
    return table


def _narrow(every: list[InstanceStatus]) -> RenderableType:
    """A table with the long texts below, cut at the width of the terminal."""
    table = _table(every)
    for each in every:
        table.add_row(*_styled(each))
    return Group(table, Text(""), *_below(every))


def _tiny(every: list[InstanceStatus]) -> RenderableType:
    """One value in a line."""
    lines = []
    for each in every:
        name, *cells = _styled(each)
        titles = [(f"  {title.lower()} ", "dim") for title in HEAD[1:]]
        lines += [name, *(Text.assemble(title, cell) for title, cell in zip(titles, cells, strict=True))]
    return Group(*lines, Text(""), *_below(every))


def _below(every: list[InstanceStatus]) -> list[Text]:
    below = []
    for each in every:
        below.append(Text.assemble((each.name, "bold"), ("  scope ", "dim"), _scope(each)))
        lines = [Text.assemble(("  held by ", "dim"), line) for line in _holder_lines(each)]
        if each.waits_for:
            lines.append(Text.assemble(("  waits for ", "dim"), each.waits_for))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        below += lines
    return below


def _scope(each: InstanceStatus) -> str:
    home = os.path.expanduser("~")
    inside = home != "/" and each.scope.startswith(f"{home}/")
    return f"~{each.scope.removeprefix(home)}" if inside else each.scope


def _holder_lines(each: InstanceStatus) -> list[str]:
    shown = [holder(user) for user in each.holders[:SHOWN_HOLDERS]]
    hidden = len(each.holders) - len(shown)
    return [*shown, f"{hidden} more"] if hidden > 0 else shown
