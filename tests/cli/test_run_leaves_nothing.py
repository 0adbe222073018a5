"""`servicectx run` leaves no process of its command behind, however the command or the run itself ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.command import COMMAND_TIMEOUT, cli, spawn
from tests.detector import wait_for
from tests.leftovers import files

HANDLES_SIGTERM = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, lambda *_: None)
open(os.environ["PIDS"], "a").write(f"{os.getpid()}\\n")
while True:
    time.sleep(0.1)
"""
DAEMON = f"""
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        exec({HANDLES_SIGTERM!r})
    os._exit(0)
os.wait()
"""
CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {HANDLES_SIGTERM!r}])"
LEFTOVERS = {
    "a child that handles SIGTERM": CHILD,
    "a daemon": DAEMON,
}
ENDS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file where processes of the command write their ids."""
    path = tmp_path / "pids"
    monkeypatch.setenv("PIDS", str(path))
    yield path
    for pid in written(path):
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


def written(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def living(path: Path) -> list[int]:
    found = []
    for pid in written(path):
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture(params=sorted(LEFTOVERS))
def leftover(request: pytest.FixtureRequest) -> list[str]:
    return [sys.executable, "-c", LEFTOVERS[request.param]]


def test_what_runs_in_the_background_ends_with_the_command(
    project: Path, home: Path, pids: Path, leftover: list[str]
) -> None:
    """The command ends by itself, with its own status."""
    code = f"import os, subprocess, time\nsubprocess.run({leftover!r})\n"
    code += "while not os.path.exists(os.environ['PIDS']): time.sleep(0.01)\nraise SystemExit(7)"
    done = cli("run", "-q", "redis", "--", sys.executable, "-c", code, cwd=project)
    assert done.returncode == 7, done.stderr
    assert len(written(pids)) == 1
    assert not living(pids)
    assert not files(home)


@pytest.mark.parametrize("number", ENDS)
def test_the_run_is_ended_by_a_signal(
    project: Path, home: Path, pids: Path, leftover: list[str], number: signal.Signals
) -> None:
    code = f"import subprocess, time\nsubprocess.run({leftover!r})\ntime.sleep(600)"
    with spawn("run", "-q", "redis", "--", sys.executable, "-c", code, cwd=project) as process:
        wait_for(lambda: written(pids), COMMAND_TIMEOUT)
        assert living(pids)
        process.send_signal(number)
        process.wait(COMMAND_TIMEOUT)
    wait_for(lambda: not living(pids), 2.0, lambda: f"still there: {living(pids)}")
    wait_for(lambda: not files(home), 5.0, lambda: str(files(home)))


def test_a_shared_service_that_the_command_started_stays_for_its_other_users(project: Path, home: Path) -> None:
    """Its keeper was started below the command, but belongs to all users of the service."""
    start = "import servicectx; s = servicectx.managed('redis', name='other', scope='both', linger=60); s.__enter__(); "
    start += "print(s.details.port); s.__exit__()"
    done = cli("run", "-q", "redis", "--", sys.executable, "-c", start, cwd=project)
    assert done.returncode == 0, done.stderr
    join = "import servicectx; s = servicectx.managed('redis', name='other', scope='both'); s.__enter__(); "
    join += "print(s.details.port, s.joined)"
    again = subprocess.run([sys.executable, "-c", join], capture_output=True, text=True, check=False, cwd=project)
    assert again.stdout.split() == [done.stdout.strip(), "True"]
    assert cli("down", "--all", cwd=project).returncode == 0


def test_a_run_within_a_run_ends_only_its_own(project: Path, pids: Path) -> None:
    outer = f"""
import os, subprocess, sys, time
own = subprocess.Popen([sys.executable, "-c", {HANDLES_SIGTERM!r}])
while not os.path.exists(os.environ["PIDS"]): time.sleep(0.01)
inner = [sys.executable, "-m", "servicectx", "run", "-q", "redis", "--", "true"]
assert subprocess.run(inner).returncode == 0
raise SystemExit(9 if own.poll() is None else 1)
"""
    assert cli("run", "-q", "redis", "--", sys.executable, "-c", outer, cwd=project).returncode == 9
    assert not living(pids)
