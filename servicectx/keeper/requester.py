"""The process that asked for a start, as its keeper sees it: at the other ends of two pipes."""

import json
import os
import select
import sys
from typing import Any

from servicectx.system.checkpoints import step


class RequesterGone(BaseException):
    """The process that asked for this start is dead."""


class Requester:
    """Gives the order on standard input, reads reports on standard output. `close` after the last report."""

    def __init__(self) -> None:
        self._silence = os.open(os.devnull, os.O_RDWR)  # now: at the end there may be no descriptor left

    def order(self) -> dict[str, Any]:
        """The next order. Raises StarterGone when there is none."""
        line = sys.stdin.readline()
        if not line:
            raise RequesterGone
        order: dict[str, Any] = json.loads(line)
        return order

    def check(self) -> None:
        """Raise StarterGone once nobody listens to the report any more."""
        poller = select.poll()
        poller.register(1, 0)
        if poller.poll(0):
            raise RequesterGone

    def report(self, what: dict[str, Any]) -> None:
        """The starter holds the key's lock while it waits for this: report before waiting for that lock."""
        step("reporting")
        write_report(what)

    def close(self) -> None:
        os.dup2(self._silence, 0)
        os.dup2(self._silence, 1)


def close_pipes() -> None:
    """Let go of the starter's pipes, in a child that its keeper forked."""
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 0)
    os.dup2(silence, 1)
    os.close(silence)


def write_report(what: dict[str, Any]) -> None:
    text = json.dumps(what).encode() + b"\n"
    try:
        while text:
            text = text[os.write(1, text) :]
    except BrokenPipeError:
        raise RequesterGone from None
