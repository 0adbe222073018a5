"""A set-up on top of a namespace: its identity, its label, and its function."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class SetupStep(NamedTuple):
    """One set-up. `text` identifies it, `called` is its label in messages.

    `run` takes the details of the namespace and raises SetupFailed.
    """

    text: str
    called: str
    run: Callable[[Any], object]


SetupSteps = Sequence[SetupStep]
