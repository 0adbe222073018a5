"""`servicectx status`: running instances with address, state and holders."""

import time
from typing import Any

import click

from servicectx.cli import console, instance_status, table
from servicectx.cli.app import Failed, debug_option
from servicectx.cli.instances import absent, complete_name, scope_option, scope_text, shown_place
from servicectx.cli.parameters import Seconds
from servicectx.client.inventory import Running, running
from servicectx.state import persistent


@click.command(
    epilog="""\b
Examples:
  servicectx status
  servicectx status --watch
  servicectx status --json | jq -r '.[] | select(.holders == []) | .key'
""",
)
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=complete_name)
@scope_option
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects; sizes in bytes, times in seconds.")
@click.option("-w", "--watch", is_flag=True, help="Repeat until Ctrl-C.")
@click.option("-n", "--interval", type=Seconds(), default="1", show_default=True, help="Time between two looks.")
@debug_option
def command(names: tuple[str, ...], scope: str | None, as_json: bool, watch: bool, interval: float) -> None:
    """Show this user's instances: name, service and version, address, state, age, memory, size of the data, scope,
    holders, and the event that an instance waits for. Persistent data is listed, too, while it is stopped.

    Names or a scope select instances; the default is all projects. The exit status is 1 if a name has no instance.
    """

    only_scope = None if scope is None else scope_text(scope)
    every: list[Running] = []
    seen: set[str] = set()

    def look() -> list[instance_status.InstanceStatus]:
        every[:] = [instance for instance in running() if only_scope is None or instance.state.scope == only_scope]
        places = {instance.state.data_directory for instance in every}
        stopped = [
            found
            for found in persistent.scan()
            if str(found.path) not in places and only_scope in (None, found.record.scope)
        ]
        seen.clear()
        seen.update(found.record.name for found in stopped)
        return [
            instance_status.of(instance)
            for instance in every
            if not names or instance.state.name in names or instance.key in names
        ] + [instance_status.stopped(found) for found in stopped if not names or found.record.name in names]

    try:
        if watch:
            _watch(look, as_json, max(interval, 0.1))
        else:
            found = look()
            if found or not names or as_json:
                _show(found, as_json)
    except KeyboardInterrupt:
        if not watch:
            raise
    missing = [
        name
        for name in names
        if name not in seen and not any(name in (instance.state.name, instance.key) for instance in every)
    ]
    if missing and not watch:
        place = f"in {shown_place(only_scope)}" if only_scope else "here"
        raise Failed("\n".join(absent(name, every, place) for name in missing))


def _show(every: list[instance_status.InstanceStatus], as_json: bool) -> None:
    terminal = console.terminal()
    if as_json:
        console.say_json([instance._asdict() for instance in every])
    elif terminal is not None:
        from servicectx.cli import terminal_table

        terminal.print(terminal_table.status(every, terminal.width))
    else:
        console.say(table.plain_status(every))


def _watch(look: Any, as_json: bool, interval: float) -> None:
    terminal = None if as_json else console.terminal()
    if terminal is None:
        while True:
            _show(look(), as_json)
            time.sleep(interval)
    from rich.live import Live

    from servicectx.cli import terminal_table

    with Live(console=terminal, auto_refresh=False, screen=True) as live:
        while True:
            live.update(terminal_table.status(look(), terminal.width), refresh=True)
            time.sleep(interval)
