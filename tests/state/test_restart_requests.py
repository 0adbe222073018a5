"""Requests for a restart: those of dead requesters are removed, those of living ones stay."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from servicectx.state import leases
from servicectx.state.instance import RESTARTS
from servicectx.state.restart_requests import RestartRequests
from tests.detector import wait_for

LOOK = "import sys, pathlib; from servicectx.state.restart_requests import RestartRequests as Requests; "
LOOK += "Requests(pathlib.Path(sys.argv[1])).pending()"


@pytest.fixture
def requests(tmp_path: Path) -> RestartRequests:
    (tmp_path / RESTARTS).mkdir()
    return RestartRequests(tmp_path)


def test_a_request_is_not_locked_while_a_keeper_removes_it(requests: RestartRequests, tmp_path: Path) -> None:
    """A requester that created the file, and did not lock it yet, looks dead to the keeper."""
    path, paused = requests.folder / "ab", tmp_path / "paused"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    pause = {"SERVICECTX_TEST_PAUSE": f"removing-request:{paused}"}
    keeper = subprocess.Popen([sys.executable, "-c", LOOK, tmp_path], env=os.environ | pause)
    try:
        wait_for(paused.exists, 60.0)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        paused.write_text("")
        assert keeper.wait() == 0
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert os.fstat(descriptor).st_nlink == 0  # the requester sees the removal, and creates another file
    os.close(descriptor)


def test_the_request_of_a_dead_requester_is_removed(requests: RestartRequests) -> None:
    (requests.folder / "ab").write_text("{}")
    (requests.folder / "cd.answer").write_text("{}")
    with requests.submit({"kill": True}):
        (pending,) = requests.pending()
        assert pending.record == {"kill": True}
        assert [path.name for path in requests.folder.iterdir()] == [pending.name]
    assert leases.users(requests.folder) == []
    assert requests.pending() == []
    assert list(requests.folder.iterdir()) == []
