"""Shortages: no descriptors, no processes, a full file system. The server stays exactly as long as it is used."""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from servicectx import HomeError, managed
from servicectx.keeper import probes
from servicectx.state import leases
from tests import namespaces
from tests.actor import Actor
from tests.detector import Home, listens, wait_for


@pytest.fixture
def detected() -> Iterator[Home]:
    home = Home()
    yield home
    home.remove()


def limit(process: psutil.Process, kind: str, soft: int, hard: int | None = None) -> None:
    subprocess.run(["prlimit", f"--pid={process.pid}", f"--{kind}={soft}:{hard or 20000}"], check=True)


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Leave this process without a free descriptor, for the block."""
    held = [os.open(os.devnull, os.O_RDONLY)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[0], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.close(held[0])


# -- the keeper ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "is killed"])
def test_a_keeper_without_descriptors_keeps_the_server_of_the_other_user(detected: Home, leaves: bool) -> None:
    """The keeper cannot even raise its own limit. After SIGTERM it ends, and the watchdog cleans up."""
    with Actor(detected) as first, Actor(detected) as second:
        port = first.enter()["port"]
        second.enter()
        (keeper,), (server,) = detected.keepers(), detected.servers()
        limit(keeper, "nofile", 3, 3)
        if leaves:
            first.leave()
        else:
            first.kill()
        time.sleep(0.3)  # the absence of a stop makes no event
        assert second.ask("use")["used"] == "42"
        assert second.ask("alive")["alive"] is True
        second.kill()
        keeper.terminate()
        detected.wait_until_empty(4)
        assert not server.is_running()
        assert not listens("127.0.0.1", port)


def test_a_keeper_that_never_gets_a_descriptor_again_ends_after_the_last_user(detected: Home) -> None:
    """Not even its hard limit permits one. It frees its standard descriptors, and the watchdog removes the files."""
    with Actor(detected) as first, Actor(detected) as second:
        port = first.enter()["port"]
        second.enter()
        (keeper,) = detected.keepers()
        limit(keeper, "nofile", 3, 3)
        first.leave()
        assert second.ask("use")["used"] == "42"
        second.kill()
        detected.wait_until_empty(30)
        assert not listens("127.0.0.1", port)


def test_a_keeper_without_descriptors_raises_its_own_limit_and_stops_in_time(detected: Home) -> None:
    with Actor(detected) as user:
        user.enter()
        limit(detected.keepers()[0], "nofile", 3)
        user.kill()
        detected.wait_until_empty()


def test_a_keeper_that_may_start_no_process_stops_in_time(detected: Home) -> None:
    with Actor(detected) as user:
        user.enter()
        limit(detected.keepers()[0], "nproc", 1)
        user.leave()
        detected.wait_until_empty(0.5)


def test_a_server_that_dies_while_its_keeper_has_no_descriptor_is_recorded(detected: Home) -> None:
    with Actor(detected) as user:
        user.enter()
        limit(detected.keepers()[0], "nofile", 3)
        detected.servers()[0].kill()
        wait_for(lambda: "SIGKILL" in (user.ask("alive")["failure"] or ""), 2)
        user.leave()
        detected.wait_until_empty()


def test_a_watchdog_without_descriptors_clears_up_after_its_keeper(detected: Home) -> None:
    with Actor(detected) as user:
        user.enter()
        (watchdog,), (keeper,) = detected.watchdogs(), detected.keepers()
        limit(watchdog, "nofile", 3)
        keeper.kill()
        user.kill()
        detected.wait_until_empty()


def test_a_prefetcher_without_descriptors_begins_again(detected: Home) -> None:
    with Actor(detected) as user:
        user.send("enter", service="postgres", arguments={})
        assert "error" not in user.hear(60)
        user.ask("isolate")
        user.ask("give_back")
        wait_for(lambda: detected.pools(), 5)
        (pool,) = detected.pools()
        wait_for(lambda: list(detected.own.glob("postgres-*/pool/ready/*/*")), 5)  # then its modules are loaded
        limit(pool, "nofile", 3)
        for _ in range(3):
            assert "error" not in user.ask("isolate")
        limit(pool, "nofile", 1024)
        assert pool.is_running(), "a prefetcher does not end for lack of descriptors"
        for _ in range(3):
            user.ask("give_back")
        user.leave()
        detected.wait_until_empty()


def test_a_keeper_that_cannot_start_a_prefetcher_keeps_its_server(detected: Home) -> None:
    with Actor(detected) as user:
        user.send("enter", service="postgres", arguments={})
        assert "error" not in user.hear(60)
        (server,) = detected.servers()
        keeper = server.parent()
        assert keeper in detected.keepers()  # a child of the keeper makes a spare for data on disk
        limit(keeper, "nofile", 3, 3)
        for _ in range(4):
            assert "error" not in user.ask("isolate")
        assert keeper.is_running()
        assert not detected.pools()
        for _ in range(4):
            user.ask("give_back")
        keeper.terminate()
        user.kill()
        detected.wait_until_empty(8)


# -- counting --------------------------------------------------------------------------------------------------------


def test_a_held_lease_that_cannot_be_opened_counts_as_held(tmp_path: Path) -> None:
    lease = leases.take(tmp_path, "now")
    assert lease is not None
    with no_descriptor_left():
        assert leases.is_used(tmp_path)
        with pytest.raises(HomeError, match=r"leases not counted: Too many open files\n.*ulimit -n"):
            leases.users(tmp_path)
        with pytest.raises(OSError, match="Too many open files"):
            leases.wait_until_free(tmp_path)
    assert [user["pid"] for user in leases.users(tmp_path)] == [os.getpid()]
    lease.release()
    assert not leases.is_used(tmp_path)


def test_a_process_without_descriptors_does_not_take_a_server_for_dead() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert probes.run_probe({"kind": "tcp"}, "127.0.0.1", port) == {}
        with no_descriptor_left(), pytest.raises(HomeError, match="Too many open files"):
            probes.run_probe({"kind": "tcp"}, "127.0.0.1", port)


def test_a_user_without_descriptors_gets_an_error_with_its_cure_and_takes_nothing_away(detected: Home) -> None:
    with Actor(detected) as user:
        port = user.enter()["port"]
        environment = {**os.environ, "SERVICECTX_HOME": str(detected.path)}
        script = (
            "import resource, os, servicectx, redis, filelock\n"
            "import servicectx.services.redis.details, servicectx.client.join\n"
            "managed = servicectx.managed('redis', timeout=3)\n"
            "for free in range(5):\n"
            "    held = os.open('/dev/null', os.O_RDONLY); os.close(held)\n"
            "    resource.setrlimit(resource.RLIMIT_NOFILE, (held + free, 4096))\n"
            "    try:\n"
            "        managed.__enter__()\n"
            "        managed.__exit__()\n"
            "    except (servicectx.ServiceCtxError, OSError) as error:\n"
            "        print(type(error).__name__)\n"
            "    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert user.ask("use")["used"] == "42"
        assert user.ask("alive")["alive"] is True
        assert detected.servers()[0].is_running()
        assert listens("127.0.0.1", port)
        user.leave()
        detected.wait_until_empty()


# -- a full or read-only file system -----------------------------------------------------------------------------------

FILE_SYSTEM = """
import os, subprocess, sys, time
import psutil, servicectx

place, change, killed = sys.argv[1:]
os.mkdir(place + "/tmpfs")
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=4m", "none", place + "/tmpfs"], check=True)
home = place + "/tmpfs/home"
os.mkdir(home)
os.environ.update(SERVICECTX_HOME=home, SERVICECTX_CACHE="/nonexistent")
user = "import sys, servicectx; m = servicectx.managed('redis'); print(m.__enter__().port, flush=True); input()"
first = subprocess.Popen([sys.executable, "-c", user], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
first.stdout.readline()

def mine():
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if process.pid not in (os.getpid(), os.getppid()) and process.status() != "zombie" and home in words:
                found.append(words[-60:])
        except psutil.Error:
            continue
    return found

def is_keeper(process):
    try:
        words = " ".join(process.cmdline())
        return home in words and "keeper.watchdog" in words
    except psutil.Error:
        return False

assert len(mine()) >= 2, mine()
if change == "read-only":
    # Open files keep a mount writable, so a second mount covers it: paths then lead to a read-only file system.
    subprocess.run(["mount", "--bind", place + "/tmpfs", place + "/tmpfs"], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", place + "/tmpfs"], check=True)
else:
    for name, size in [("large", 65536), ("small", 512)]:
        try:
            with open(place + "/tmpfs/" + name, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(size))
        except OSError:
            pass
time.sleep(0.2)
assert len(mine()) >= 2, mine()
if killed == "keeper":
    import signal
    (keeper,) = [p for p in psutil.process_iter() if is_keeper(p) and is_keeper(p.parent())]
    keeper.kill()
first.kill()
first.wait()
began = time.monotonic()
while (left := mine()) and time.monotonic() - began < 10:
    time.sleep(0.01)
took = time.monotonic() - began
assert not left, left
print(took)
if change == "full":
    import pathlib
    from tests import leftovers

    assert not leftovers.files(pathlib.Path(home)), leftovers.files(pathlib.Path(home))
"""


@pytest.mark.parametrize("change", ["full", "read-only"])
@pytest.mark.parametrize("killed", ["the last user", "keeper"])
def test_a_home_that_takes_nothing_any_more_keeps_no_server(tmp_path: Any, change: str, killed: str) -> None:
    namespaces.require()
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", sys.executable, "-c", FILE_SYSTEM, str(tmp_path), change, killed],
        cwd=namespaces.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) < 4
    assert managed("redis").key, "this process is unchanged"


# -- a keeper that reads nothing ---------------------------------------------------------------------------------------


def test_a_requester_does_not_wait_for_a_stopped_keeper_to_read_a_long_command(detected: Home) -> None:
    """The command is larger than the pipe's buffer, for example with a large environment."""
    long = {"LONG": "x" * 300_000}
    with Actor(detected, pause_at="spawned") as requester:
        command = ["sleep", "600"]
        ready = {
            "command": command,
            "ready": "log:never",
            "env": {f"{n}{name}": v[:100_000] for name, v in long.items() for n in "ABC"},
        }
        requester.send("enter", service="command", arguments={**ready, "timeout": 1.0})
        requester.wait_paused()
        wait_for(lambda: detected.keepers(), 5)
        stopped = [*detected.watchdogs(), *detected.keepers()]
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        requester.resume()
        answer = requester.hear(15)
        assert answer["error"] == "StartTimeout"
    for process in stopped:
        with contextlib.suppress(psutil.Error):
            process.kill()
