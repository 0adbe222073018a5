"""The tests of signals pass in a run that inherits ignored signals: in the background of a shell, or under nohup."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST = "tests/cli/test_run.py::test_ctrl_c_ends_an_ordinary_command"


def test_signals_that_are_inherited_as_ignored_have_their_usual_effect() -> None:
    ignoring = ["sh", "-c", 'trap \'\' INT QUIT HUP; exec "$0" "$@"']
    command = [*ignoring, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TEST]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
