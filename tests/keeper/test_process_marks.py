"""Keeper and watchdog killed at once: the next visitor ends processes below a shell, or in sessions of their own."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from servicectx.keeper import process_marks
from tests.actor import Actor
from tests.detector import Home, listens, wait_for

LISTEN = 'import socket, time; s = socket.create_server(("{host}", {port})); time.sleep(600)'
SERVE = f"{sys.executable} -I -S -c '{LISTEN}'"
BELOW_A_SHELL = [f"{SERVE}; true"]
IN_ITS_OWN_SESSION = [f"setsid sleep 4242 & exec {SERVE}"]


@pytest.fixture
def detected() -> Iterator[Home]:
    home = Home()
    yield home
    home.remove()


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def entered(user: Actor, service: str, **arguments: Any) -> dict[str, Any]:
    user.send("enter", service=service, arguments=arguments)
    answer = user.hear(60)
    assert "error" not in answer, answer
    return answer


def enter(user: Actor, home: Home, script: list[str]) -> tuple[int, list[psutil.Process]]:
    """Enter a command; return its port and the processes of its server."""
    command = ["sh", "-c", *script]
    port: int = entered(user, "command", command=command)["port"]
    (keeper,) = home.keepers()
    wait_for(lambda: len(keeper.children(recursive=True)) >= 2, 5)
    return port, keeper.children(recursive=True)


def kill_keeper_and_watchdog(home: Home) -> None:
    for process in [*home.watchdogs(), *home.keepers()]:
        process.kill()


@pytest.mark.parametrize("script", [BELOW_A_SHELL, IN_ITS_OWN_SESSION], ids=["below a shell", "its own session"])
def test_the_last_user_out_ends_what_nobody_watches_any_more(detected: Home, script: list[str]) -> None:
    with Actor(detected) as user:
        port, processes = enter(user, detected, script)
        kill_keeper_and_watchdog(detected)
        user.leave()
        assert running(processes) == []
        assert not listens("127.0.0.1", port)
        assert detected.left() == []


@pytest.mark.parametrize("script", [BELOW_A_SHELL, IN_ITS_OWN_SESSION], ids=["below a shell", "its own session"])
def test_the_next_start_of_any_service_ends_what_nobody_watches_any_more(detected: Home, script: list[str]) -> None:
    with Actor(detected) as user:
        port, processes = enter(user, detected, script)
        kill_keeper_and_watchdog(detected)
        user.kill()
    with Actor(detected) as visitor:
        entered(visitor, "redis")
        assert running(processes) == []
        assert not listens("127.0.0.1", port)
        visitor.leave()
        detected.wait_until_empty(0.5)


def test_prune_ends_what_nobody_watches_any_more(detected: Home) -> None:
    with Actor(detected) as user:
        _, processes = enter(user, detected, IN_ITS_OWN_SESSION)
        kill_keeper_and_watchdog(detected)
        user.kill()
    environment = {**os.environ, "SERVICECTX_HOME": str(detected.path)}
    prune = "import servicectx.client.inventory as i; i.prune(i.remains())"
    subprocess.run([sys.executable, "-c", prune], env=environment, check=True)
    assert running(processes) == []
    assert detected.left() == []


def test_the_watchdog_ends_what_a_killed_keeper_had(detected: Home) -> None:
    with Actor(detected) as user:
        _, processes = enter(user, detected, IN_ITS_OWN_SESSION)
        detected.keepers()[0].kill()
        wait_for(lambda: not running(processes), 2)
        user.leave()
        detected.wait_until_empty(0.5)


def test_a_service_below_a_server_has_a_mark_of_its_own(detected: Home) -> None:
    """Other processes may share it, so it does not end with the server around it."""
    nested = (
        "import sys, time, servicectx\n"
        "servicectx.managed('redis', linger=60).__enter__()\n"
        "print('nested is up', flush=True)\n"
        "time.sleep(600)\n"
    )
    with Actor(detected) as user, Actor(detected) as other:
        entered(user, "command", command=[sys.executable, "-c", nested], ready="log:nested is up")
        assert entered(other, "redis")["joined"] is True
        outer = [
            found.process
            for found in detected.seen()
            if "command-" in found.command_line and "keeper.watchdog" in found.command_line
        ]
        for process in outer:
            process.kill()
        user.leave()
        assert other.ask("use")["used"] == "42"
        assert other.ask("alive")["alive"] is True
        down = "import servicectx.client.inventory as i; [each.down(force=True) for each in i.running()]"
        environment = {**os.environ, "SERVICECTX_HOME": str(detected.path)}
        subprocess.run([sys.executable, "-c", down], env=environment, check=True)
        other.leave()
        detected.wait_until_empty()


@pytest.mark.parametrize("change", ["id", "prefix", "name"])
def test_only_the_mark_of_this_very_instance_counts(tmp_path: Any, change: str) -> None:
    mine = tmp_path / "redis-0123456789ab.01234567"
    name, value = next(iter(process_marks.environment(mine).items()))
    other = {
        "id": {name: f"{value[:-1]}8"},
        "prefix": {name: f"{value}9"},
        "name": {f"X{name}": value},
    }[change]
    with subprocess.Popen(["sleep", "60"], env=other) as stranger, subprocess.Popen(["sleep", "60"], env={name: value}):
        time.sleep(0.05)  # until both processes have their own environments
        assert process_marks.end(mine)
        assert stranger.poll() is None
        stranger.kill()
