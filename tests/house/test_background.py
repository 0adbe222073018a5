"""Ignored signals that a process inherits: in the background of a shell, or under nohup."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
TEST = "tests/cli/test_run.py::test_ctrl_c_ends_an_ordinary_command"


IGNORING = ["sh", "-c", 'trap "" INT QUIT HUP TERM CHLD USR1; exec "$0" "$@"']
SCRIPT = """
from servicectx import managed
from servicectx.testing import FakeService
one = managed(FakeService)
with one:
    print(one.pid, flush=True)
    input()
"""


def ignored(pid: int) -> set[int]:
    """The signals that a process ignores, from its mask in /proc."""
    (line,) = [text for text in Path(f"/proc/{pid}/status").read_text().splitlines() if text.startswith("SigIgn:")]
    return {number for number in range(1, 32) if int(line.split()[1], 16) >> (number - 1) & 1}


def test_a_server_and_its_keeper_do_not_inherit_ignored_signals() -> None:
    command = [*IGNORING, sys.executable, "-c", SCRIPT]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as user:
        assert user.stdout is not None
        server = psutil.Process(int(user.stdout.readline()))
        usual = {signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1}
        assert not ignored(server.pid) & (usual | {signal.SIGINT, signal.SIGHUP})
        assert not ignored(server.ppid()) & usual
        user.communicate("\n")


def test_signals_that_are_inherited_as_ignored_have_their_usual_effect() -> None:
    command = [*IGNORING, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TEST]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
