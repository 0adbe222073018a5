"""SIGKILL at every step: no user hangs, no user gets wrong details, and nothing is left."""

import os
import select
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from servicectx.system import platform
from tests.actor import Actor
from tests.detector import Home, listens, wait_for

REQUESTER_STEPS = ["before-lock", "holding-lock", "spawned", "setting-up", "publishing", "published"]
KEEPER_STEPS = ["starting", "started", "reporting"]
LEAVER_STEPS = ["leaving", "left"]
ENDING_STEPS = ["stopping", "cleaning"]
NORMAL = 30.0  # seconds: longer than a start on a busy machine, below any timeout


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home()
    yield home
    home.remove()


def works(home: Home) -> None:
    """Check that the next user is served in normal time, and that nothing is left after it."""
    with Actor(home) as user:
        assert user.enter(setup="note_setup")["took"] < NORMAL
        assert user.ask("use")["used"] == "42"
        user.leave()
        assert home.left() == []


def wait_until_the_kernel_ended_the_server(home: Home) -> None:
    """Wait for its parent-death signal. On a system without it, the next visitor ends the server."""
    if platform.PARENT_DEATH_SIGNAL:
        wait_for(lambda: not home.processes(), 2)
    else:
        wait_for(home.servers, 2)  # while a thread of its keeper ends, the server has a parent that is gone


@pytest.mark.parametrize("step", REQUESTER_STEPS)
def test_requester_killed_alone(home: Home, step: str) -> None:
    with Actor(home, pause_at=step) as requester:
        requester.send("enter", service="redis", arguments={"setup": "note_setup"})
        requester.wait_paused()
        requester.kill()
        if step in ("before-lock", "holding-lock"):
            assert not home.processes()
        else:
            home.wait_until_empty()
        works(home)


@pytest.mark.parametrize("step", REQUESTER_STEPS)
def test_requester_killed_while_another_waits(home: Home, step: str) -> None:
    with Actor(home, pause_at=step) as requester, Actor(home) as waiter:
        requester.send("enter", service="redis", arguments={"setup": "note_setup"})
        requester.wait_paused()
        waiter.send("enter", service="redis", arguments={"setup": "note_setup"})
        time.sleep(0.2)
        requester.kill()
        assert "error" not in waiter.hear(NORMAL)
        assert waiter.ask("use")["used"] == "42"
        assert len(home.servers()) == 1
        waiter.leave()
        home.wait_until_empty(0.5)


@pytest.mark.parametrize("step", KEEPER_STEPS)
@pytest.mark.parametrize("victim", ["keeper", "requester"])
def test_killed_while_the_keeper_starts(home: Home, step: str, victim: str) -> None:
    with Actor(home, pause_at=step) as requester, Actor(home) as waiter:
        requester.send("enter", service="redis", arguments={})
        keeper = requester.wait_paused()
        waiter.send("enter", service="redis", arguments={})
        time.sleep(0.2)
        if victim == "keeper":
            os.kill(keeper, signal.SIGKILL)
            first = requester.hear(NORMAL)
        else:
            requester.kill()
            first = None
        second = waiter.hear(NORMAL)
        assert "error" not in second
        assert first is None or first["port"] == second["port"]
        assert waiter.ask("use")["used"] == "42"
        assert len(home.servers()) == 1
        waiter.leave()
        if first is not None:
            requester.leave()
        home.wait_until_empty()


@pytest.mark.parametrize("step", ["preparing", "starting", "started", "reporting"])
@pytest.mark.parametrize("victim", ["keeper", "requester"])
def test_killed_while_postgres_is_prepared(home: Home, step: str, victim: str) -> None:
    cache = {"SERVICECTX_CACHE": str(home.path / "cache")}  # empty: initdb runs
    with Actor(home, pause_at=step, **cache) as requester, Actor(home, **cache) as next_user:
        requester.send("enter", service="postgres", arguments={})
        keeper = requester.wait_paused()
        if victim == "keeper":
            os.kill(keeper, signal.SIGKILL)
            assert "error" not in requester.hear(20)
            requester.leave()
        else:
            requester.kill()
            requester.resume()
        wait_for(lambda: not home.processes(), 2, lambda: str(home.left()))
        next_user.enter("postgres")
        assert next_user.ask("use")["used"] == "42"
        next_user.leave()
        assert not home.processes()
        assert all(name.startswith("cache") for name in home.files()), home.files()


@pytest.mark.parametrize("step", LEAVER_STEPS)
def test_leaver_killed(home: Home, step: str) -> None:
    with Actor(home, pause_at=step) as leaver:
        leaver.enter()
        leaver.send("leave")
        leaver.wait_paused()
        leaver.kill()
        home.wait_until_empty()
        works(home)


@pytest.mark.parametrize("step", ENDING_STEPS)
def test_keeper_killed_while_it_ends(home: Home, step: str) -> None:
    with Actor(home, pause_at=step) as leaver:
        leaver.enter()
        leaver.send("leave")
        os.kill(leaver.wait_paused(), signal.SIGKILL)
        assert "error" not in leaver.hear(NORMAL)
        home.wait_until_empty()
        works(home)


def test_joiner_killed_as_soon_as_it_has_joined(home: Home) -> None:
    with Actor(home) as requester, Actor(home, pause_at="joined") as joiner:
        details = requester.enter()
        joiner.send("enter", service="redis", arguments={})
        joiner.wait_paused()
        joiner.kill()
        assert requester.ask("use")["used"] == "42"
        requester.leave()
        home.wait_until_empty(0.5)
        assert not listens("127.0.0.1", details["port"])


def test_requester_killed_and_the_joiner_goes_on(home: Home) -> None:
    with Actor(home) as requester, Actor(home) as joiner:
        port = requester.enter()["port"]
        assert joiner.enter()["port"] == port
        requester.kill()
        time.sleep(0.3)
        assert joiner.ask("use")["used"] == "42"
        assert joiner.ask("alive") | {"took": 0, "at": 0} == {"alive": True, "failure": None, "took": 0, "at": 0}
        joiner.leave()
        home.wait_until_empty(0.5)


def test_all_users_killed_at_once(home: Home) -> None:
    users = [Actor(home) for _ in range(3)]
    port = users[0].enter()["port"]
    assert {user.enter()["port"] for user in users[1:]} == {port}
    for user in users:
        os.killpg(user.process.pid, signal.SIGKILL)
    home.wait_until_empty()
    assert not listens("127.0.0.1", port)
    for user in users:
        user.kill()


@pytest.mark.parametrize("service", ["redis", "postgres"])
def test_server_killed_under_its_users(home: Home, service: str) -> None:
    with Actor(home) as user, Actor(home) as other:
        port = user.enter(service)["port"]
        (server,) = home.servers()
        server.kill()
        wait_for(lambda: "SIGKILL" in (user.ask("alive")["failure"] or ""), 2)
        assert user.ask("alive")["alive"] is False
        assert other.enter(service)["took"] < NORMAL
        assert other.ask("use")["used"] == "42"
        assert user.ask("alive")["alive"] is False
        user.leave()
        assert other.ask("use")["used"] == "42", "leaving a dead instance must not touch the new one"
        other.leave()
        home.wait_until_empty(0.5)
        assert not listens("127.0.0.1", port)


@pytest.mark.parametrize("recorder", ["keeper", "watchdog"])
def test_a_death_is_recorded_late(home: Home, recorder: str) -> None:
    """The keeper pauses between the death of its server and the record. Users wait for the record of that death."""
    with Actor(home, pause_at="server-died") as user:
        user.enter()
        (watchdog,) = home.watchdogs()
        home.servers()[0].kill()
        keeper = user.wait_paused()
        if recorder == "watchdog":
            watchdog.send_signal(signal.SIGSTOP)
            os.kill(keeper, signal.SIGKILL)
        user.send("alive")
        assert user.process.stdout is not None
        assert not select.select([user.process.stdout], [], [], 1.5)[0]  # the absence of an answer makes no event
        user.resume()
        watchdog.send_signal(signal.SIGCONT)
        assert ("the server was" if recorder == "keeper" else "its keeper (process") in user.hear(NORMAL)["failure"]
        assert user.enter()["took"] < NORMAL  # joins another server
        user.leave()
        user.leave()
        home.wait_until_empty()


def test_a_death_is_not_recorded_without_keeper_and_watchdog(home: Home) -> None:
    with Actor(home) as user:
        user.enter()
        for process in [*home.watchdogs(), *home.keepers()]:
            process.kill()
        wait_until_the_kernel_ended_the_server(home)
        assert "its exit was not recorded" in user.ask("alive")["failure"]
        user.leave()
        home.wait_until_empty()


def test_keeper_killed_takes_the_server_along_and_users_learn_it(home: Home) -> None:
    with Actor(home) as user, Actor(home) as other:
        user.enter()
        (keeper,), (server,) = home.keepers(), home.servers()
        keeper.kill()
        psutil.wait_procs([server], timeout=2)
        assert not server.is_running()
        wait_for(lambda: "keeper" in (user.ask("alive")["failure"] or ""), 2)
        assert other.enter()["took"] < NORMAL
        other.leave()
        user.leave()
        home.wait_until_empty(0.5)


def test_keeper_and_then_its_user_killed(home: Home) -> None:
    with Actor(home) as user:
        user.enter()
        home.keepers()[0].kill()
        user.kill()
        home.wait_until_empty()


def test_watchdog_killed_changes_nothing(home: Home) -> None:
    with Actor(home) as user:
        user.enter()
        (watchdog,) = home.watchdogs()
        watchdog.kill()
        assert user.ask("use")["used"] == "42"
        user.leave()
        home.wait_until_empty(0.5)


def test_keeper_and_watchdog_killed(home: Home) -> None:
    with Actor(home) as user:
        user.enter()
        for process in [*home.watchdogs(), *home.keepers()]:
            process.kill()
        wait_until_the_kernel_ended_the_server(home)
        user.leave()
        home.wait_until_empty(0.1)


def test_everything_killed_is_cleared_by_the_next_visitor_of_any_service(home: Home) -> None:
    with Actor(home) as user:
        user.enter()
        for process in [*home.watchdogs(), *home.keepers()]:
            process.kill()
        user.kill()
        wait_until_the_kernel_ended_the_server(home)
        assert home.files(), "no process was left to clean up"
    with Actor(home) as visitor:
        visitor.enter("redis", name="another")
        visitor.leave()
        home.wait_until_empty(0.1)


def test_stopped_joiner_keeps_the_service_and_hinders_nobody(home: Home) -> None:
    with Actor(home) as user, Actor(home) as stopped, Actor(home) as third:
        user.enter()
        stopped.enter()
        stopped.signal(signal.SIGSTOP)
        user.leave()
        assert third.enter()["took"] < NORMAL
        third.leave()
        assert len(home.servers()) == 1
        stopped.signal(signal.SIGCONT)
        assert stopped.ask("use")["used"] == "42"
        stopped.leave()
        home.wait_until_empty(0.5)


def test_requester_stopped_under_the_lock_is_named_to_those_who_wait(home: Home) -> None:
    with Actor(home, pause_at="setting-up") as requester, Actor(home) as waiter:
        requester.send("enter", service="redis", arguments={"setup": "note_setup"})
        requester.wait_paused()
        requester.signal(signal.SIGSTOP)
        answer = waiter.ask("enter", service="redis", arguments={"setup": "note_setup", "timeout": 1.0})
        assert answer["error"] == "StartTimeout"
        assert str(requester.process.pid) in answer["message"]
        assert "has held the lock for" in answer["message"]


def test_forked_child_does_not_give_the_parents_lease_back(home: Home) -> None:
    with Actor(home) as user:
        user.enter()
        assert user.ask("fork")["status"] == 0
        assert user.ask("use")["used"] == "42"
        user.leave()
        home.wait_until_empty(0.5)


def test_ctrl_c_during_the_start(home: Home) -> None:
    with Actor(home, pause_at="started") as requester:
        requester.send("enter", service="redis", arguments={})
        requester.wait_paused()
        requester.signal(signal.SIGINT)
        assert requester.hear(NORMAL)["error"] == "KeyboardInterrupt"
        home.wait_until_empty()
        works(home)
