"""The instance of the present configuration, among several of one name.

An edited set-up or option leads to another instance, and the former one stays where `servicectx up` started both.
"""

import click

from servicectx.cli.console import note
from servicectx.cli.selection import members
from servicectx.client.inventory import Running
from servicectx.errors import ServiceCtxError


def configured_or_latest(found: list[Running]) -> Running:
    """The instance of the present configuration, otherwise the latest one. A note names the others."""
    key = _configured_key(found[0].state.name)
    configured = [instance for instance in found if instance.key == key]
    chosen = (configured or sorted(found, key=lambda instance: instance.state.since))[-1]
    note_others(chosen, found, "is chosen: its configuration is the present one" if configured else "is the latest")
    return chosen


def of_each_name(found: list[Running]) -> list[Running]:
    """The instances, with one for each name and scope that several have."""
    named: dict[tuple[str, str], list[Running]] = {}
    for instance in found:
        named.setdefault((instance.state.name, instance.state.scope), []).append(instance)
    return [instances[0] if len(instances) == 1 else configured_or_latest(instances) for instances in named.values()]


def note_others(chosen: Running, found: list[Running], reason: str) -> None:
    """Name the instances beside the chosen one, with the command that stops them."""
    others = " ".join(instance.key for instance in found if instance.key != chosen.key)
    text = f"{chosen.state.name} runs {len(found)} times here, and {chosen.key} {reason}"
    note(f"servicectx: {text}; stop the others with: servicectx down {others}")


def _configured_key(name: str) -> str | None:
    try:
        (member,) = members((name,), (), ())
        return member.managed.key
    except (ServiceCtxError, click.ClickException):  # started under a role that the project does not name
        return None
