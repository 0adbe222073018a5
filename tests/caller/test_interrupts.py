"""Ctrl-C, and Ctrl-C again during the clean-up of the first one: nothing is left."""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.actor import Actor
from tests.detector import Home

REQUESTER_STEPS = ["before-lock", "holding-lock", "spawned", "setting-up", "publishing", "published"]
LEAVER_STEPS = ["leaving", "left"]


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home()
    yield home
    home.remove()


@pytest.mark.parametrize("pause", [0.0, 0.0002, 0.0005, 0.001, 0.01, 0.05])
@pytest.mark.parametrize("step", REQUESTER_STEPS)
def test_interrupted_twice_while_it_starts(home: Home, step: str, pause: float) -> None:
    """The process lives on, so only the clean-up itself releases its locks and leases."""
    with Actor(home, pause_at=step) as requester:
        requester.send("enter", service="redis", arguments={"setup": "note_setup"})
        requester.wait_paused(30)
        requester.signal(signal.SIGINT)
        time.sleep(pause)
        requester.signal(signal.SIGINT)
        assert requester.hear(30)["error"] == "KeyboardInterrupt"
        home.wait_until_empty(5.0)
        assert requester.process.poll() is None
        requester.resume()


@pytest.mark.parametrize("step", ["joined"])
def test_interrupted_twice_while_it_joins(home: Home, step: str) -> None:
    with Actor(home) as first, Actor(home, pause_at=step) as joiner:
        first.enter()
        joiner.send("enter", service="redis", arguments={})
        joiner.wait_paused(30)
        joiner.signal(signal.SIGINT)
        joiner.signal(signal.SIGINT)
        assert joiner.hear(30)["error"] == "KeyboardInterrupt"
        first.leave()
        home.wait_until_empty(5.0)
        assert joiner.process.poll() is None


@pytest.mark.parametrize("step", LEAVER_STEPS)
def test_interrupted_twice_while_it_leaves(home: Home, step: str) -> None:
    with Actor(home, pause_at=step) as user:
        user.enter()
        user.send("leave")
        user.wait_paused(30)
        user.signal(signal.SIGINT)
        time.sleep(0.01)
        user.signal(signal.SIGINT)
        assert user.hear(30)["error"] == "KeyboardInterrupt"
        home.wait_until_empty(5.0)
        assert user.process.poll() is None
