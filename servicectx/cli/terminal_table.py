"""Tables of instances, fitted to the width of a terminal."""

import os

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from servicectx.cli.instance_status import InstanceStatus
from servicectx.cli.instances import holder
from servicectx.cli.table import HEAD, cells

WIDE = 120  # columns of a terminal with room for scope and holders beside the other columns
NARROW = 72  # columns of a terminal with room for the other columns
STYLES = {
    "in use": "green",
    "up": "cyan",
    "stopped": "cyan",
    "starting": "yellow",
    "stopping": "yellow",
    "elsewhere": "blue",
}
SHOWN_HOLDERS = 5


def status(statuses: list[InstanceStatus], width: int) -> RenderableType:
    if not statuses:
        return Text("nothing runs", style="dim")
    return (_wide if width >= WIDE else _narrow if width >= NARROW else _tiny)(statuses)


def _styled(instance: InstanceStatus) -> list[Text]:
    name, service, address, state, *rest = cells(instance)
    colour = STYLES.get(instance.state, "red")
    return [Text(name, "bold"), Text(service), Text(address), Text(state, colour), *map(Text, rest)]


def _table(statuses: list[InstanceStatus]) -> Table:
    """Names may be folded on a narrow terminal. Addresses and sizes are never cut, because a part is useless."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    rows = [cells(instance) for instance in statuses]
    for number, title in enumerate(HEAD):
        justify: JustifyMethod = "right" if title in ("AGE", "MEMORY", "DATA") else "left"
        if title == "NAME":
            table.add_column(title, overflow="fold", justify=justify)
        else:
            width = max(len(title), *(len(row[number]) for row in rows))
            table.add_column(title, no_wrap=True, justify=justify, min_width=width)
    return table


def _wide(statuses: list[InstanceStatus]) -> RenderableType:
    table = _table(statuses)
    table.add_column("SCOPE", overflow="fold")
    table.add_column("HELD BY, OR WAITS FOR", overflow="fold", ratio=1)
    table.expand = True
    for instance in statuses:
        lines = [Text(line) for line in _holder_lines(instance)]
        if instance.waits_for:
            lines.append(Text(instance.waits_for, "dim"))
        if instance.setup_text:
            lines.append(Text(f"set-up {instance.setup_text}", "dim"))
        if instance.persistent:
            lines.append(Text(f"persistent data in {instance.persistent}", "dim"))
        table.add_row(*_styled(instance), Text(_scope(instance), "dim"), Text("\n").join(lines))
    return table


def _narrow(statuses: list[InstanceStatus]) -> RenderableType:
    """A table with the long texts below, cut at the width of the terminal."""
    table = _table(statuses)
    for instance in statuses:
        table.add_row(*_styled(instance))
    return Group(table, Text(""), *_below(statuses))


def _tiny(statuses: list[InstanceStatus]) -> RenderableType:
    """One value in a line."""
    lines = []
    for instance in statuses:
        name, *others = _styled(instance)
        titles = [(f"  {title.lower()} ", "dim") for title in HEAD[1:]]
        lines += [name, *(Text.assemble(title, cell) for title, cell in zip(titles, others, strict=True))]
    return Group(*lines, Text(""), *_below(statuses))


def _below(statuses: list[InstanceStatus]) -> list[Text]:
    below = []
    for instance in statuses:
        below.append(Text.assemble((instance.name, "bold"), ("  scope ", "dim"), _scope(instance)))
        lines = [Text.assemble(("  held by ", "dim"), line) for line in _holder_lines(instance)]
        if instance.waits_for:
            lines.append(Text.assemble(("  waits for ", "dim"), instance.waits_for))
        if instance.setup_text:
            lines.append(Text.assemble(("  set-up ", "dim"), instance.setup_text))
        if instance.persistent:
            lines.append(Text.assemble(("  persistent data in ", "dim"), instance.persistent))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        below += lines
    return below


def _scope(instance: InstanceStatus) -> str:
    home = os.path.expanduser("~")
    inside = home != "/" and instance.scope.startswith(f"{home}/")
    return f"~{instance.scope.removeprefix(home)}" if inside else instance.scope


def _holder_lines(instance: InstanceStatus) -> list[str]:
    shown = [holder(user) for user in instance.holders[:SHOWN_HOLDERS]]
    hidden = len(instance.holders) - len(shown)
    return [*shown, f"{hidden} more"] if hidden > 0 else shown
