"""A set-up on top of a namespace: its identity, its label, and its function."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class SetupStep(NamedTuple):
    """One set-up. `identity` is equal for equal set-ups, `label` is its name in messages.

    `run` takes the details of the namespace and raises SetupFailed.
    """

    identity: str
    label: str
    run: Callable[[Any], object]


SetupSteps = Sequence[SetupStep]
