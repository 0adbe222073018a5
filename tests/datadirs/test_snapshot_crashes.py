"""SIGKILL while data is stored, restored and dropped: later copies are complete, and no process waits in vain."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicectx.datadirs import prepared
from servicectx.datadirs.cache import SNAPSHOTS, Cache
from tests.actor import Actor
from tests.detector import Home, wait_for

NORMAL = 30.0
ARGUMENTS = {"setup": "note_setup", "snapshot": "one"}


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home()
    yield home
    home.remove()


@pytest.fixture
def own_cache(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = home.path.with_name(f"{home.path.name}-cache")
    monkeypatch.setenv("SERVICECTX_CACHE", str(path))
    yield path / "servicectx-cache"
    shutil.rmtree(path, ignore_errors=True)


def set_ups(user: Actor) -> int:
    """The number of set-up runs on this user's data."""
    count = user.ask("set_up_count")["count"]
    assert isinstance(count, int)
    return count


def whole(cache: Path) -> list[Path]:
    """The complete snapshots. For data on disk the cache may also hold a spare of one."""
    entries = Cache(cache, 0).entries()
    return [entry.path for entry in entries if entry.kind == SNAPSHOTS and prepared.is_prepared(entry.path)]


@pytest.mark.parametrize("step", ["keeping", "kept"])
@pytest.mark.parametrize("victim", ["keeper", "requester", "both"])
def test_killed_while_it_is_kept(home: Home, own_cache: Path, step: str, victim: str) -> None:
    with Actor(home, pause_at=step) as requester, Actor(home) as waiter:
        requester.send("enter", service="redis", arguments=ARGUMENTS)
        keeper = requester.wait_paused()
        waiter.send("enter", service="redis", arguments=ARGUMENTS)
        if victim != "requester":
            os.kill(keeper, signal.SIGKILL)
        if victim != "keeper":
            requester.kill()
        if victim == "requester":
            requester.resume()
        if victim == "keeper":
            assert "error" not in requester.hear(NORMAL)
            assert set_ups(requester) == 1
        assert "error" not in waiter.hear(NORMAL)
        assert set_ups(waiter) == 1, "on fresh data, or on data after a set-up: not twice"
        assert len(home.servers()) == 1
        waiter.leave()
        if victim == "keeper":
            requester.leave()
        home.wait_until_empty()
    assert len(whole(own_cache)) == 1
    assert [path.name for path in (own_cache / "snapshots").iterdir()] == [whole(own_cache)[0].name], (
        "no half-made copy"
    )


@pytest.mark.parametrize("victim", ["keeper", "requester"])
def test_killed_while_it_is_brought(home: Home, own_cache: Path, victim: str) -> None:
    with Actor(home) as first:
        first.enter(**ARGUMENTS)
        first.leave()
    with Actor(home, pause_at="copying") as requester, Actor(home) as waiter:
        requester.send("enter", service="redis", arguments=ARGUMENTS)
        keeper = requester.wait_paused()
        waiter.send("enter", service="redis", arguments=ARGUMENTS)
        if victim == "keeper":
            os.kill(keeper, signal.SIGKILL)
            assert "error" not in requester.hear(NORMAL)
        else:
            requester.kill()
            requester.resume()
        assert "error" not in waiter.hear(NORMAL)
        assert set_ups(waiter) == 1
        waiter.leave()
        if victim == "keeper":
            requester.leave()
        home.wait_until_empty()
    assert len(whole(own_cache)) == 1


def test_a_start_that_loses_its_source_begins_anew(home: Home, own_cache: Path) -> None:
    with Actor(home) as first:
        first.enter(**ARGUMENTS)
        first.leave()
    with Actor(home, pause_at="copying") as requester:
        requester.send("enter", service="redis", arguments=ARGUMENTS)
        requester.wait_paused()
        Cache(own_cache, 0).trim()
        requester.resume()
        assert "error" not in requester.hear(NORMAL)
        assert set_ups(requester) == 1
        requester.leave()
        home.wait_until_empty()
    assert len(whole(own_cache)) == 1


DROP = "import sys; from pathlib import Path; from servicectx.datadirs.cache import Cache; Cache(Path(sys.argv[1]), 0)"


@pytest.mark.parametrize("how", ["trim", "clear"])
def test_killed_while_it_is_dropped(home: Home, own_cache: Path, tmp_path: Path, how: str) -> None:
    with Actor(home) as first:
        first.enter(**ARGUMENTS)
        first.leave()
    paused = tmp_path / "paused"
    pause = os.environ | {"SERVICECTX_TEST_PAUSE": f"dropping:{paused}"}
    dropper = subprocess.Popen([sys.executable, "-c", f"{DROP}.{how}()", str(own_cache)], env=pause)
    wait_for(paused.exists, 10)
    assert whole(own_cache) == [], "out of sight at once"
    dropper.kill()
    dropper.wait()
    with Actor(home) as user:
        user.enter(**ARGUMENTS)
        assert set_ups(user) == 1
        user.leave()
        home.wait_until_empty()
    assert [path.name for path in (own_cache / "snapshots").iterdir()] == [whole(own_cache)[0].name]
