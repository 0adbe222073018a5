"""User processes of a storm: most are forked, some are started anew, as programs are."""

import random
import subprocess
import sys
from collections.abc import Sequence
from typing import cast

from tests.actor import Actor
from tests.detector import Home
from tests.storms import nursery

STARTED = 0.05  # share of users that import the library themselves


class ForkedActor(Actor):
    """An actor that is forked from a process with the library. A kill of it hits the library, and not its imports."""

    def _start(self, prefix: Sequence[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
        assert not prefix
        return cast("subprocess.Popen[str]", nursery.fork("tests.actor:main", environment=environment))


def user(home: Home, chance: random.Random, pause_at: str | None = None) -> Actor:
    """A new user process; sometimes one that was started anew. Other systems than Linux always start it."""
    forks = sys.platform == "linux" and chance.random() >= STARTED
    return (ForkedActor if forks else Actor)(home, pause_at=pause_at)
