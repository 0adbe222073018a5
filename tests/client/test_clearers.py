"""A keeper is killed, then at each step the process that cleans up after it: a later visitor leaves nothing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicectx.state import container
from tests.actor import Actor
from tests.cli.command import cli
from tests.detector import Home, wait_for

CLEARER_STEPS = ["clearing", "forgotten", "removing-data", "removed-data", "disowned"]
TIMEOUT = 60.0  # seconds


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home()
    yield home
    home.remove()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(mode=0o711)
    return path


def kill_all(home: Home) -> None:
    for process in [*home.watchdogs(), *home.keepers()]:
        process.kill()
    wait_for(lambda: not home.processes(), TIMEOUT)


def killed_while_it_clears(home: Home, step: str, service: str, **arguments: str) -> None:
    with Actor(home, pause_at=step) as clearer:
        clearer.send("enter", service=service, arguments=arguments)
        os.kill(clearer.wait_paused(TIMEOUT), signal.SIGKILL)
        clearer.kill()
    kill_all(home)


@pytest.mark.parametrize("step", CLEARER_STEPS)
@pytest.mark.parametrize("location", ["home", "storage"])
def test_keeper_and_then_its_clearer_killed(home: Home, place: Path, step: str, location: str) -> None:
    arguments = {"storage": str(place)} if location == "storage" else {}
    with Actor(home) as user:
        user.enter("redis", **arguments)
        kill_all(home)
        user.kill()
    killed_while_it_clears(home, step, "redis", **arguments)
    visit(home)
    assert home.left() == []
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("step", ["clearing", "removing-data", "disowned"])
def test_prune_finds_what_a_killed_clearer_left_in_memory(home: Home, step: str) -> None:
    with Actor(home) as user:
        user.enter("redis", storage="memory")
        (state,) = home.own.glob("*.json")
        data = Path(json.loads(state.read_text())["data_directory"])
        assert list(data.rglob("redis.conf"))
        kill_all(home)
        user.kill()
    killed_while_it_clears(home, step, "redis", storage="memory")
    environment = {"SERVICECTX_HOME": str(home.path)}
    done = cli("prune", "--yes", cwd=home.path.parent, env=environment)
    assert done.returncode == 0, done.stderr
    assert home.left() == []
    assert not data.exists()
    assert cli("prune", cwd=home.path.parent, env=environment).stdout == "nothing to clear\n"


def test_clearer_killed_in_the_middle_of_the_data_while_the_watchdog_is_late(home: Home) -> None:
    with Actor(home) as user:
        user.enter("redis")
        (data,) = home.own.glob("data/*-*")
        for number in range(40):
            (data / f"d{number:02}").mkdir()
            for name in range(300):
                (data / f"d{number:02}" / f"f{name}").touch()
        (watchdog,) = home.watchdogs()
        watchdog.send_signal(signal.SIGSTOP)
        home.keepers()[0].kill()
        before = count(data)
        visitor = Actor(home)
        visitor.send("enter", service="redis", arguments={})
        wait_for(lambda: count(data) < before, TIMEOUT)
        visitor.kill()
        watchdog.send_signal(signal.SIGCONT)
        user.leave()
    home.wait_until_empty(TIMEOUT)


def test_a_clearer_is_killed_after_it_ended_the_keeper(home: Home) -> None:
    """The keeper removes the state file itself. The lock file of the dead clearer stays for the next visitor."""
    with Actor(home) as user, Actor(home, pause_at="clearing") as clearer:
        user.enter("redis")
        home.servers()[0].kill()
        wait_for(lambda: "SIGKILL" in (user.ask("alive")["failure"] or ""), TIMEOUT)
        clearer.send("enter", service="redis", arguments={})
        clearer.wait_paused(TIMEOUT)
        clearer.kill()
        user.leave()
    wait_for(lambda: not home.processes(), TIMEOUT)
    assert [name for name in home.files() if not name.endswith(".lock")] == []
    visit(home)
    assert home.left() == []


def test_a_keeper_that_a_stranger_ends_removes_everything(home: Home) -> None:
    """SIGTERM to all processes, as at the shutdown of a machine: no clearer holds the lock."""
    with Actor(home) as user:
        user.enter("redis")
        home.keepers()[0].terminate()
        home.wait_until_empty(TIMEOUT)


def test_a_visitor_of_another_key_removes_a_state_file_without_an_instance(home: Home) -> None:
    with Actor(home) as user:
        user.enter("redis")
        (state_file,) = home.own.glob("*.json")
        state = state_file.read_bytes()
        user.leave()
    for content in (state, b"damaged"):
        state_file.write_bytes(content)
        visit(home)
        assert home.left() == []


def visit(home: Home) -> None:
    """Enter and leave another instance."""
    with Actor(home) as visitor:
        visitor.enter("redis", name="another")
        visitor.leave()


def count(data: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(data))


def test_a_kill_does_not_cost_data_that_are_to_be_kept(home: Home) -> None:
    """The preference to keep data is lost with the instance's directory. The data have a record of their own."""
    with Actor(home) as user:
        user.enter("redis", keep_data=True)
        (data,) = home.own.glob("data/*-*")
        kill_all(home)
        user.kill()
    killed_while_it_clears(home, "disowned", "redis")
    assert container.is_kept(data)
    visit(home)
    assert data.is_dir()
    environment = os.environ | {"SERVICECTX_HOME": str(home.path)}
    command = [sys.executable, "-m", "servicectx", "prune", "--kept-data", "--yes"]
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 0
    assert home.left() == []
