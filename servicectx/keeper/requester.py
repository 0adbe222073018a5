"""The requester: the process that requested a start, at the other ends of the keeper's two pipes."""

import json
import os
import select
import sys
from typing import Any

from servicectx.system.checkpoints import step


class RequesterGone(BaseException):
    """The process that requested this start is dead."""


class Requester:
    """The pipes of the requester: commands on standard input, reports on standard output.

    Call `close` after the last report.
    """

    def __init__(self) -> None:
        self._silence = os.open(os.devnull, os.O_RDWR)  # opened now: later the process may have no free descriptor

    def read_command(self) -> dict[str, Any]:
        """Read the next command. Raises RequesterGone at the end of the pipe."""
        line = sys.stdin.readline()
        if not line:
            raise RequesterGone
        command: dict[str, Any] = json.loads(line)
        return command

    def check(self) -> None:
        """Raise RequesterGone when no process reads the reports any more."""
        poller = select.poll()
        poller.register(1, 0)
        if poller.poll(0):
            raise RequesterGone

    def report(self, record: dict[str, Any]) -> None:
        """Write a report. The requester holds the key's lock until then: report before waiting for that lock."""
        step("reporting")
        write_report(record)

    def close(self) -> None:
        os.dup2(self._silence, 0)
        os.dup2(self._silence, 1)


def close_pipes() -> None:
    """Close the requester's pipes in a child that the keeper forked."""
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 0)
    os.dup2(silence, 1)
    os.close(silence)


def write_report(record: dict[str, Any]) -> None:
    text = json.dumps(record).encode() + b"\n"
    try:
        while text:
            text = text[os.write(1, text) :]
    except BrokenPipeError:
        raise RequesterGone from None
