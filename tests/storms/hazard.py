"""The base of hazards: a hostile action that one thread of a round repeats."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests import namespaces
from tests.actor import Actor
from tests.storms import users
from tests.storms.round import Key, Round


class Hazard:
    """A subclass has a name, and `run()`, which returns when the time of its round is over."""

    name: ClassVar[str]
    keys: ClassVar[tuple[Key, ...]] = ()  # instances that only this hazard uses
    needs_namespaces: ClassVar[bool] = False

    def __init__(self, round: Round) -> None:
        self.round = round
        self.random = round.random

    @classmethod
    def problem(cls) -> str:
        """The reason why the hazard cannot run here; "" if it can."""
        return namespaces.problem() if cls.needs_namespaces else ""

    def run(self) -> None:
        raise NotImplementedError

    def count(self, number: int = 1) -> None:
        self.round.tally.hazards[self.name] += number

    def check_end(self) -> None:
        """Look for remains after the end of the round. A subclass with files of its own removes them here."""


def kill(actor: Actor) -> None:
    """Kill the process of an actor, and the command that runs it."""
    with contextlib.suppress(ProcessLookupError):
        if actor.process.poll() is None:
            os.killpg(actor.process.pid, signal.SIGKILL)
    actor.process.wait()


def is_reply_ready(actor: Actor, seconds: float) -> bool:
    assert actor.process.stdout is not None
    return bool(select.select([actor.process.stdout], [], [], seconds)[0])


@contextlib.contextmanager
def entered(round: Round, key: Key) -> Iterator[Actor | None]:
    """A process that uses the key; None if it could not enter, because another hazard killed the server."""
    with users.user(round.home, round.random) as actor:
        reply = round.enter(actor, key)
        yield actor if reply is not None else None


def folder(round: Round, actor: Actor, key: Key) -> Path | None:
    """The data directory of the server that the actor uses; None if the server is dead."""
    reply = round.ask(actor, key.name, "directory")
    return Path(str(reply["directory"])) if "directory" in reply else None
