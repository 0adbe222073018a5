"""Types of parameters of commands."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from servicectx.request import durations

#: A command, or a function that becomes one.
F = TypeVar("F", bound=Callable[..., Any])


class Seconds(click.ParamType):  # type: ignore[type-arg]
    """A click type: a length of time, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return durations.seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
