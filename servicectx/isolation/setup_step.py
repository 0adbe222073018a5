"""A set-up on top of a namespace: what it is known by, what people call it, and how to run it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class SetupStep(NamedTuple):
    """`text` differs where the set-up differs; `run` takes the details of the namespace and raises SetupFailed."""

    text: str
    called: str
    run: Callable[[Any], object]


SetupSteps = Sequence[SetupStep]
