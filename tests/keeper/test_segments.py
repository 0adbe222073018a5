"""The System V segment of a Postgres: it is removed with the server, however server and keeper end."""

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from servicectx.system import segments
from tests.actor import Actor
from tests.detector import Home, wait_for

pytestmark = pytest.mark.skipif(not Path("/proc/sysvipc/shm").exists(), reason="no list of segments")


@pytest.fixture
def detected() -> Iterator[Home]:
    home = Home()
    yield home
    home.remove()


def listed() -> dict[str, tuple[int, int]]:
    """All segments: id, creator's process id, owner."""
    lines = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {fields[1]: (int(fields[4]), int(fields[7])) for fields in lines}


def made_by(pid: int) -> set[str]:
    return {id for id, (creator, _) in listed().items() if creator == pid}


def entered(user: Actor, home: Home) -> tuple[psutil.Process, set[str]]:
    """Enter a Postgres; return its server process and its segments."""
    user.send("enter", service="postgres", arguments={})
    answer = user.hear(60)
    assert "error" not in answer, answer
    (server,) = home.servers()
    made = made_by(server.pid)
    assert made, "a Postgres without any segment: this test would check nothing"
    return server, made


def test_a_server_that_was_stopped_leaves_no_segment(detected: Home) -> None:
    with Actor(detected) as user:
        server, made = entered(user, detected)
        server.send_signal(signal.SIGSTOP)
        took = user.leave()["took"]
        assert not made & listed().keys()
        assert detected.left() == []
        assert took < 4.5, "the server is continued, so that it ends at once and not after its grace time"


def test_a_server_whose_workers_were_stopped_leaves_no_segment(detected: Home) -> None:
    with Actor(detected) as user:
        server, made = entered(user, detected)
        for process in [*server.children(), server]:
            process.send_signal(signal.SIGSTOP)
        user.send("leave")
        assert "error" not in user.hear(30)
        assert not made & listed().keys()
        assert detected.left() == []


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "killed"])
def test_a_server_and_its_keeper_killed_leave_no_segment(detected: Home, stopped: bool) -> None:
    """The watchdog removes it."""
    with Actor(detected) as user:
        server, made = entered(user, detected)
        keeper = server.parent()
        assert keeper in detected.keepers()  # a child of the keeper makes a spare for data on disk
        server.send_signal(signal.SIGSTOP if stopped else signal.SIGKILL)
        keeper.kill()
        wait_for(lambda: not made & listed().keys(), 4)
        user.leave()
        assert detected.left() == []


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "killed"])
def test_a_server_its_keeper_and_its_watchdog_killed_leave_no_segment(detected: Home, stopped: bool) -> None:
    """The last user out removes it."""
    with Actor(detected) as user:
        server, made = entered(user, detected)
        victims = [*detected.watchdogs(), *detected.keepers()]
        server.send_signal(signal.SIGSTOP if stopped else signal.SIGKILL)
        for process in victims:
            process.kill()
        user.send("leave")
        assert "error" not in user.hear(30)
        assert not made & listed().keys()
        assert detected.left() == []


def test_only_a_segment_of_that_owner_and_maker_is_removed() -> None:
    """The server's own account can write the file with the segment's id."""
    id = ctypes.CDLL(None).shmget(0, 4096, 0o1600)
    assert id >= 0
    try:
        assert not segments.remove(id, owner=os.geteuid() + 1, creator=os.getpid())
        assert not segments.remove(id, owner=os.geteuid(), creator=os.getppid())
        assert str(id) in listed()
    finally:
        assert segments.remove(id, owner=os.geteuid(), creator=os.getpid())
    assert str(id) not in listed()
    assert not segments.remove(id, owner=os.geteuid(), creator=os.getpid())
