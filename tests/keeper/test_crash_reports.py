"""A keeper that crashes by itself: the error has the traceback, and the start is not retried."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import servicectx
from servicectx import StartFailed, managed
from tests.detector import wait_for
from tests.leftovers import processes

SCRIPT = """
import json, time
import servicectx

began = time.monotonic()
try:
    with servicectx.managed("redis", timeout=20):
        print(json.dumps("served"))
except servicectx.StartFailed as error:
    print(json.dumps({"took": time.monotonic() - began, "where": servicectx.__file__, **error.data}))
"""


def failure_of_a_copy(place: Path, module: str, line: str) -> dict[str, Any]:
    """The report of a copy of the package with one more line at the end of one module."""
    shutil.copytree(Path(servicectx.__file__).parent, place / "servicectx")
    with (place / "servicectx" / module).open("a") as file:
        file.write(f"\n{line}\n")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(place)},
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    reported: dict[str, Any] = json.loads(done.stdout)
    assert reported["where"].startswith(str(place))
    return reported


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("keeper/watchdog.py", "raise LookupError('no such thing here')"),
        ("keeper/startup.py", "raise LookupError('no such thing here')"),
        ("keeper/watchdog.py", "main = lambda *_: open('/nonexistent/no such thing here')"),
    ],
    ids=["before it is a keeper", "when it imports what a start needs", "in its first function"],
)
def test_an_exception_in_the_keeper_is_reported_with_its_traceback(tmp_path: Path, module: str, line: str) -> None:
    failure = failure_of_a_copy(tmp_path, module, line)
    assert "no such thing here" in failure["reason"]
    assert "killed" not in failure["reason"]
    assert "Traceback (most recent call last)" in failure["log_tail"]
    assert "no such thing here" in failure["log_tail"]
    assert failure["took"] < 5, "it is not tried again"


def test_a_crash_outside_of_every_report_is_reported(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The step raises before the keeper's report, and again before the report of that failure."""
    monkeypatch.setenv("SERVICECTX_TEST_PAUSE", "reporting:/nonexistent/folder/file")
    with pytest.raises(StartFailed, match="its keeper crashed: FileNotFoundError") as caught, managed("redis"):
        pass
    assert "Traceback (most recent call last)" in (caught.value.log_tail or "")
    wait_for(lambda: not processes(home), 2)


def test_a_keeper_that_is_killed_each_time_shows_its_log(tmp_path: Path) -> None:
    """A signal leaves no traceback, so the start is tried three times; the error has the keeper's earlier output."""
    line = "import os, sys\nprint('the last words of the keeper', file=sys.stderr, flush=True)\nos.kill(os.getpid(), 9)"
    failure = failure_of_a_copy(tmp_path, "keeper/startup.py", line)
    assert failure["reason"] == "its keeper was killed 3 times"
    assert "the last words of the keeper" in failure["log_tail"]
