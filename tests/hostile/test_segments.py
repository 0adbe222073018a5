"""A shared memory segment is removed by its number, taken from a file that the server's account can write."""

import ctypes
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from servicectx.services.postgres import shared_memory
from servicectx.system.segments import IPC_RMID, IPC_STAT
from tests.detector import wait_for
from tests.hostile.intruder import Intruder

MAKE = """
import ctypes
print(ctypes.CDLL(None).shmget(0, 4096, 0o1600))
"""


@pytest.fixture
def data(place: Path, account: pwd.struct_passwd) -> Path:
    data = place / "container" / "run" / "data"
    data.mkdir(parents=True)
    for path in (data.parent, data):
        os.chown(path, account.pw_uid, account.pw_gid)
    return data


class Segment(NamedTuple):
    number: int
    creator: int


@pytest.fixture
def segment() -> Iterator[Segment]:
    """A segment of root. The process that made it has ended."""
    with subprocess.Popen([sys.executable, "-c", MAKE], stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        number = int(maker.stdout.read())
    assert number >= 0
    yield Segment(number, maker.pid)
    ctypes.CDLL(None).shmctl(number, IPC_RMID, None)


def note(data: Path, segment: int, creator: int, account: pwd.struct_passwd) -> None:
    """Write a pid file, as the server or another process of its account does."""
    file = data / "postmaster.pid"
    file.unlink(missing_ok=True)
    file.write_text(
        "\n".join([str(creator), str(data), "0", "5432", "", "127.0.0.1", f"   5432001 {segment}", "ready", ""])
    )
    os.chown(file, account.pw_uid, account.pw_gid)


def segment_of(pid: int) -> int:
    """Number of the segment that the process has made; waits for it."""
    found: list[int] = []

    def look() -> bool:
        lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
        found[:] = [int(line.split()[1]) for line in lines if int(line.split()[4]) == pid]
        return bool(found)

    wait_for(look, 10)
    return found[0]


def is_there(segment: int) -> bool:
    return bool(ctypes.CDLL(None).shmctl(segment, IPC_STAT, ctypes.create_string_buffer(1024)) == 0)


def test_a_segment_of_root_s_stays(data: Path, segment: Segment, account: pwd.struct_passwd) -> None:
    note(data, segment.number, segment.creator, account)
    shared_memory.free_after_kill(data=str(data))
    assert is_there(segment.number)


def test_what_a_live_process_has_stays(data: Path, account: pwd.struct_passwd, intruder: Intruder) -> None:
    process = intruder.start(f"{MAKE}\nprint(flush=True)\nimport time; time.sleep(60)")
    number = segment_of(process.pid)
    note(data, number, process.pid, account)
    shared_memory.free_after_kill(data=str(data))
    assert is_there(number)
    assert (data / "postmaster.pid").exists()
    ctypes.CDLL(None).shmctl(number, IPC_RMID, None)


def test_the_pid_file_of_a_zombie_goes(data: Path, account: pwd.struct_passwd) -> None:
    """A server refuses to start beside a pid file, and init may be slow to reap the zombie."""
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    note(data, 0, zombie.pid, account)
    shared_memory.free_after_kill(data=str(data))
    assert not (data / "postmaster.pid").exists()
    zombie.wait()


def test_the_server_s_own_segment_goes(data: Path, account: pwd.struct_passwd, intruder: Intruder) -> None:
    process = intruder.start(f"{MAKE}\nprint(flush=True)")
    assert process.wait(10) == 0
    number = segment_of(process.pid)
    note(data, number, process.pid, account)
    shared_memory.free_after_kill(data=str(data))
    assert not is_there(number)


def test_a_pid_file_that_is_no_file_is_not_waited_for(data: Path, segment: Segment) -> None:
    os.mkfifo(data / "postmaster.pid")
    shared_memory.free_after_kill(data=str(data))
    (data / "postmaster.pid").unlink()
    (data / "postmaster.pid").symlink_to("/etc/passwd")
    shared_memory.free_after_kill(data=str(data))
    assert is_there(segment.number)
