"""The instances that a run of tests may join, in words: for the header of a report."""

from servicectx.client.inventory import Running, running
from servicectx.request.key import scope_text
from servicectx.state.record import READY


def describe_instances(scope: str) -> list[str]:
    """A line for each usable instance of a scope: its name, and the set-up that it was made by.

    Args:
        scope: as for `managed()`: "user", "project:DIRECTORY", or any text.

    Raises:
        HomeError: the directory of instances cannot be used.
    """
    wanted = scope_text(scope)
    return [
        _line(instance) for instance in running() if instance.state.scope == wanted and instance.state.phase == READY
    ]


def _line(instance: Running) -> str:
    state, setup = instance.state, instance.setup
    label = state.name if state.name == state.service else f"{state.service} {state.name!r}"
    return f"{label}: " + ("without a set-up" if setup is None else f"set-up {setup.text}")
