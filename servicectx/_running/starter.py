"""The process that asked for a start, as its keeper sees it: at the other ends of two pipes."""

import json
import os
import select
import sys
from typing import Any

from servicectx._sharing.steps import step


class StarterGone(BaseException):
    """The process that asked for this start is dead."""


class Starter:
    """Gives the order on standard input, hears reports on standard output. `hang_up` when all is said."""

    def order(self) -> dict[str, Any]:
        """The next order. Raises StarterGone when there is none."""
        line = sys.stdin.readline()
        if not line:
            raise StarterGone
        order: dict[str, Any] = json.loads(line)
        return order

    def check(self) -> None:
        """Raise StarterGone once nobody listens to the report any more."""
        poller = select.poll()
        poller.register(1, 0)
        if poller.poll(0):
            raise StarterGone

    def report(self, what: dict[str, Any]) -> None:
        step("reporting")
        try:
            os.write(1, json.dumps(what).encode() + b"\n")
        except BrokenPipeError:
            raise StarterGone from None

    def hang_up(self) -> None:
        silence = os.open(os.devnull, os.O_RDWR)
        os.dup2(silence, 0)
        os.dup2(silence, 1)
        os.close(silence)
