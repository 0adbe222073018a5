"""Many users at the same moment: one service per key, one failure for all, joiners of a stopping instance."""

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actor import Actor
from tests.detector import Home, listens, wait_for


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home()
    yield home
    home.remove()


@pytest.fixture
def crowd(home: Home) -> Iterator[list[Actor]]:
    """Eight users in started processes."""
    actors = [Actor(home) for _ in range(8)]
    for actor in actors:
        actor.send("alive_check")
        actor.hear()
    yield actors
    for actor in actors:
        actor.kill()


def all_enter(crowd: list[Actor], **arguments: object) -> list[dict[str, object]]:
    for actor in crowd:
        actor.send("enter", **{"service": "redis", "arguments": {}, **arguments})
    return [actor.hear(20) for actor in crowd]


def test_all_at_once_start_one_service_and_set_it_up_once(home: Home, crowd: list[Actor]) -> None:
    answers = all_enter(crowd, arguments={"setup": "slow_setup"})
    assert len({(answer["port"], answer["password"]) for answer in answers}) == 1
    assert sum(not answer["joined"] for answer in answers) == 1
    assert len(home.servers()) == 1
    assert crowd[0].ask("set_up_count")["count"] == 1
    for actor in crowd:
        actor.send("leave")
    for actor in crowd:
        assert "error" not in actor.hear()
    home.wait_until_empty(0.5)


def test_a_failed_start_fails_everyone_once(home: Home, crowd: list[Actor], tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    script = f"open({str(tries)!r}, 'a').write('x'); import time; time.sleep(1); print('no luck'); raise SystemExit(7)"
    options = {"command": [sys.executable, "-c", script, "{port}"]}
    answers = all_enter(crowd, service="command", arguments=options)
    assert {answer["error"] for answer in answers} == {"StartFailed"}
    assert len({answer["message"] for answer in answers}) == 1
    assert "exit status: 7" in str(answers[0]["message"])
    assert "no luck" in str(answers[0]["message"])
    assert tries.read_text() == "x", "waiting users do not repeat a failed start"
    moments = [float(str(answer["at"])) for answer in answers]
    assert max(moments) - min(moments) < 1.0
    home.wait_until_empty()
    assert crowd[0].ask("enter", service="command", arguments=options)["error"] == "StartFailed"
    assert tries.read_text() == "xx", "the next fresh call tries again"
    home.wait_until_empty()


def test_a_failing_set_up_fails_everyone_once(home: Home, crowd: list[Actor]) -> None:
    answers = all_enter(crowd, arguments={"setup": "slow_failing_setup"})
    assert {answer["error"] for answer in answers} == {"SetupFailed"}
    assert all("this set-up always fails" in str(answer["message"]) for answer in answers)
    assert len({answer["message"] for answer in answers}) == 1
    home.wait_until_empty()


@pytest.mark.parametrize("step", ["stopping", "cleaning"])
def test_a_joiner_meets_an_instance_that_is_stopping(home: Home, step: str) -> None:
    with Actor(home, pause_at=step) as leaver, Actor(home) as joiner:
        first = leaver.enter()
        leaver.send("leave")
        leaver.wait_paused()
        joiner.send("enter", service="redis", arguments={})
        wait_for(lambda: list(home.own.glob("redis-*.*/leases/*")), 10)
        leaver.resume()
        second = joiner.hear()
        assert "error" not in second
        assert "error" not in leaver.hear()
        assert joiner.ask("use")["used"] == "42"
        assert (second["port"] == first["port"]) is (step == "stopping"), "an instance that is counted again is reused"
        joiner.leave()
        home.wait_until_empty(0.5)


def test_users_come_and_go_in_threads_and_nested(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from servicectx import managed

    monkeypatch.setenv("SERVICECTX_HOME", str(home.path))
    ports: list[int] = []

    def use() -> None:
        for _ in range(5):
            with managed("redis") as outer, managed("redis") as inner:
                assert outer == inner
                ports.append(outer.port)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ports) == 30
    assert home.left() == []


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", '{"version": 99}', "\x00\xff garbage", '{"version": 1, "id": "../../etc"}']
)
def test_a_damaged_state_file_is_recovered_from(home: Home, damage: str) -> None:
    with Actor(home) as user, Actor(home) as joiner:
        port = user.enter()["port"]
        (state,) = home.own.glob("redis-*.json")
        state.write_text(damage)
        assert joiner.enter()["port"] == port, "the instance has its own copy"
        user.leave()
        assert joiner.ask("use")["used"] == "42"
        joiner.leave()
        home.wait_until_empty(0.5)


def test_a_removed_state_file_is_recovered_from(home: Home) -> None:
    with Actor(home) as user, Actor(home) as joiner:
        port = user.enter()["port"]
        for state in home.own.glob("redis-*.json"):
            state.unlink()
        assert joiner.enter()["port"] == port
        joiner.leave()
        user.leave()
        home.wait_until_empty(0.5)


def test_a_damaged_state_file_and_leaving(home: Home) -> None:
    with Actor(home) as user:
        user.enter()
        (state,) = home.own.glob("redis-*.json")
        state.write_text("garbage")
        user.leave()
        home.wait_until_empty(0.5)


def test_a_foreign_state_file_leads_nobody_to_kill_or_remove(home: Home, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep me")
    with Actor(home) as user:
        user.enter()
        (path,) = home.own.glob("redis-*.json")
        raw = json.loads(path.read_text())
        user.leave()
    sleeper = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
    try:
        raw |= {"data_directory": str(precious), "phase": "ready", "port": 9}
        instance = home.own / f"{path.stem}.{raw['id']}"
        (instance / "leases").mkdir(parents=True)
        process = [sleeper, "another-boot:1"]
        (instance / "processes.json").write_text(json.dumps([process, process, process]))
        path.write_text(json.dumps(raw))
        with Actor(home) as user:
            assert user.enter()["took"] < 5
            user.leave()
        assert (precious / "file").read_text() == "keep me"
        assert os.waitpid(sleeper, os.WNOHANG) == (0, 0), "the process with the recorded id was not killed"
        home.wait_until_empty(0.5)
    finally:
        os.kill(sleeper, signal.SIGKILL)
        os.waitpid(sleeper, 0)


def test_a_stolen_port_is_never_taken_for_ours(home: Home) -> None:
    """A thief takes the port between its choice and the bind, and even answers like a server."""
    with Actor(home, pause_at="starting") as requester, socket.socket() as thief:
        requester.send("enter", service="redis", arguments={})
        requester.wait_paused()
        (config,) = home.path.rglob("redis.conf")
        port = next(int(line.split()[1]) for line in config.read_text().splitlines() if line.startswith("port "))
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        served = threading.Thread(target=_answer_like_redis, args=(thief,), daemon=True)
        served.start()
        requester.resume()
        answer = requester.hear(20)
        assert "error" not in answer
        assert answer["port"] != port
        assert requester.ask("use")["used"] == "42"
        requester.leave()
        home.wait_until_empty(0.5)
        assert listens("127.0.0.1", port), "the thief still listens"


def _answer_like_redis(thief: socket.socket) -> None:
    while True:
        try:
            connection, _ = thief.accept()
        except OSError:
            return
        with connection:
            connection.recv(4096)
            connection.sendall(b"+OK\r\n+PONG\r\n$30\r\nredis_version:7.0.0\r\nvalkey_version:9.0.0\r\n\r\n")


def test_the_last_of_many_leaves_nothing_when_killed_in_a_row(home: Home) -> None:
    users = [Actor(home) for _ in range(4)]
    for user in users:
        user.enter()
    for user in users:
        user.kill()
    home.wait_until_empty()


def test_two_set_ups_or_options_are_two_instances(home: Home) -> None:
    with Actor(home) as one, Actor(home) as two, Actor(home) as three:
        ports = {
            one.enter()["port"],
            two.enter(setup="note_setup")["port"],
            three.enter(settings={"maxmemory": "10mb"})["port"],
        }
        assert len(ports) == 3
        for user in (one, two, three):
            user.leave()
        wait_for(lambda: not home.left(), 1)
