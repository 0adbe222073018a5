"""The shared memory of a Postgres: it is removed with the server, however server and keeper end."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from servicectx.services.postgres import shared_memory
from servicectx.system import segments
from tests import namespaces
from tests.actor import Actor
from tests.detector import Home, wait_for
from tests.storms.traces import Segments

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")

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


def entered(user: Actor, home: Home, **settings: str) -> tuple[psutil.Process, set[str]]:
    """Enter a Postgres; return its server process and its segments."""
    user.send("enter", service="postgres", arguments={"settings": settings} if settings else {})
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
        user.leave()
        assert not made & listed().keys()
        assert detected.left() == []


@pytest.mark.quarantine(
    "only the time shows that the server was continued, and did not end after its grace time of 5 s"
)
def test_a_server_that_was_stopped_ends_without_its_grace_time(detected: Home) -> None:
    with Actor(detected) as user:
        server, _ = entered(user, detected)
        server.send_signal(signal.SIGSTOP)
        assert user.leave()["took"] < 4.5


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


@pytest.mark.parametrize("kind", ["posix", "sysv"])
def test_segments_that_no_file_names_are_removed_when_all_processes_are_killed(detected: Home, kind: str) -> None:
    """A server makes its segment before the line in postmaster.pid. The dynamic segments are the user's setting."""
    with Actor(detected) as user:
        server, made = entered(user, detected, dynamic_shared_memory_type=kind)
        files = {Path(place.path) for place in server.memory_maps() if Path(place.path).name.startswith("PostgreSQL.")}
        assert len(made) > 1 if kind == "sysv" else files
        (file,) = detected.own.glob("data/*/run/data/postmaster.pid")
        shared_memory.free_after_kill(data=str(file.parent))
        assert made <= listed().keys(), "the segment of a live server"
        assert all(path.exists() for path in files)
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(lines[:5]))
        for process in [*detected.watchdogs(), *detected.keepers(), server]:
            process.kill()
        user.leave()
        assert not made & listed().keys()
        assert not [path for path in files if path.exists()]
        assert detected.left() == []


def test_a_keeper_that_is_ended_after_its_server_s_death_leaves_no_segment(detected: Home) -> None:
    """The next user ends the keeper while it clears."""
    with Actor(detected, pause_at="ended") as user:
        server, made = entered(user, detected)
        server.kill()
        user.wait_paused()
        with Actor(detected) as visitor:
            entered(visitor, detected)
            assert not made & listed().keys()


def test_a_pid_namespace_that_was_killed_leaves_no_segment(detected: Home) -> None:
    """Process ids in postmaster.pid are of that namespace, and here they may be of other processes."""
    namespaces.require()
    with Actor(detected, prefix=UNSHARE) as user:
        server, made = entered(user, detected)
        server.send_signal(signal.SIGSTOP)  # else it may end by itself when its keeper was killed a moment before
        os.killpg(user.process.pid, signal.SIGKILL)
    with Actor(detected) as visitor:
        visitor.enter("redis")
        wait_for(lambda: not made & listed().keys(), 2)
        visitor.leave()
    assert detected.left() == []


@pytest.mark.parametrize("killed", ["requester", "keeper"])
def test_a_server_below_initdb_leaves_nothing(detected: Home, tmp_path: Path, killed: str) -> None:
    """It has the default kind of dynamic shared memory. `initdb` removes its files when it is ended."""
    before = set(Path("/dev/shm").glob("PostgreSQL.*"))
    with Actor(detected, pause_at="preparing", SERVICECTX_CACHE=str(tmp_path)) as user:
        user.send("enter", service="postgres", arguments={})
        keeper = psutil.Process(user.wait_paused())
        bootstrap, made = stopped_below(keeper)
        files = {Path(place.path) for place in bootstrap.memory_maps()} - before
        for process in [*detected.watchdogs(), keeper] if killed == "keeper" else []:
            process.kill()
        user.kill()
        user.resume()
    with Actor(detected) as visitor:
        wait_for(lambda: not keeper.is_running() or keeper.status() == psutil.STATUS_ZOMBIE, 20)
        visitor.enter("redis")
        assert not made & listed().keys()
        assert not [path for path in files if path.name.startswith("PostgreSQL.") and path.exists()]
        visitor.leave()
    assert detected.left() == []


def stopped_below(keeper: psutil.Process) -> tuple[psutil.Process, set[str]]:
    """Let `initdb` run in small steps until a process below it has a segment; that process, stopped, and its segments.

    All processes of `initdb` are stopped while they are looked at.
    """
    (initdb,) = keeper.children()
    found: list[tuple[psutil.Process, set[str]]] = []

    def look() -> bool:
        os.killpg(initdb.pid, signal.SIGCONT)
        time.sleep(0.003)  # the length of a step
        os.killpg(initdb.pid, signal.SIGSTOP)
        found[:] = [(process, made_by(process.pid)) for process in initdb.children(recursive=True)]
        found[:] = [(process, made) for process, made in found if made]
        return bool(found)

    wait_for(look, 60)
    return found[0]


def test_only_the_same_segment_is_removed() -> None:
    """The id of a segment may have another one by the time of the removal."""
    id = ctypes.CDLL(None).shmget(0, 4096, 0o1600)
    segment = segments.look(id)
    assert segment is not None
    assert tuple(segment) == (id, os.geteuid(), os.getpid(), 0, 4096)
    try:
        assert not segments.remove(segment._replace(owner=os.geteuid() + 1))
        assert not segments.remove(segment._replace(creator=os.getppid()))
        assert str(id) in listed()
    finally:
        assert segments.remove(segment)
    assert str(id) not in listed()
    assert segments.look(id) is None
    assert not segments.remove(segment)


def test_a_storm_counts_no_segment_from_before_its_round() -> None:
    """The maker's process id may be in use again by then."""
    script = "import ctypes; print(ctypes.CDLL(None).shmget(0, 4096, 0o1600))"
    round = Segments()
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as maker:
        id = int(maker.communicate()[0])
    assert round.orphaned({maker.pid}) == [f"SysV segment {id} of {maker.pid}"]
    assert Segments().orphaned({maker.pid}) == []
    segment = segments.look(id)
    assert segment is not None
    assert segments.remove(segment)
