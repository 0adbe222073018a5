"""A shared memory segment is removed by the number in a file that the server's account can write."""

import ctypes
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicectx.protocols import postgres
from servicectx.system.segments import IPC_RMID, IPC_STAT
from tests.hostile.intruder import Intruder

PRIVATE, CREATE = 0, 0o1000

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


@pytest.fixture
def segment() -> Iterator[int]:
    """One of root's."""
    number = ctypes.CDLL(None).shmget(PRIVATE, 4096, CREATE | 0o600)
    assert number >= 0
    yield number
    ctypes.CDLL(None).shmctl(number, IPC_RMID, None)


def note(data: Path, segment: int, creator: int, account: pwd.struct_passwd) -> None:
    """As the server does, or another process of its account."""
    file = data / "postmaster.pid"
    file.unlink(missing_ok=True)
    file.write_text(
        "\n".join([str(creator), str(data), "0", "5432", "", "127.0.0.1", f"   5432001 {segment}", "ready", ""])
    )
    os.chown(file, account.pw_uid, account.pw_gid)


def is_there(segment: int) -> bool:
    return ctypes.CDLL(None).shmctl(segment, IPC_STAT, ctypes.create_string_buffer(1024)) == 0


def test_a_segment_of_root_s_stays(data: Path, segment: int, account: pwd.struct_passwd) -> None:
    note(data, segment, os.getpid(), account)
    postgres.free_memory(data=str(data))
    assert is_there(segment)


def test_the_server_s_own_segment_goes(data: Path, account: pwd.struct_passwd, intruder: Intruder) -> None:
    process = intruder.start(f"{MAKE}\nprint(flush=True)")
    assert process.wait(10) == 0
    segments = [
        int(line.split()[1])
        for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
        if int(line.split()[7]) == account.pw_uid and int(line.split()[4]) == process.pid
    ]
    assert len(segments) == 1
    note(data, segments[0], process.pid, account)
    postgres.free_memory(data=str(data))
    assert not is_there(segments[0])


def test_a_pid_file_that_is_no_file_is_not_waited_for(data: Path, segment: int) -> None:
    os.mkfifo(data / "postmaster.pid")
    postgres.free_memory(data=str(data))
    (data / "postmaster.pid").unlink()
    (data / "postmaster.pid").symlink_to("/etc/passwd")
    postgres.free_memory(data=str(data))
    assert is_there(segment)
