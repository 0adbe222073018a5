"""`servicectx run`: environment of the command, exit status, signals, and that nothing is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from servicectx.cli.selection import members
from tests.cli.command import COMMAND_TIMEOUT, Terminal, cli, spawn
from tests.detector import Home, wait_for
from tests.leftovers import files, processes, wait_for_none

SHOW = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
USE = """
import json, sys, servicectx, redis
with servicectx.managed("redis") as details:
    with redis.Redis.from_url(details.url) as client:
        print(json.dumps([details.external, client.ping()]))
"""
SIGNALS = """
import select, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: print("received", signal.Signals(number).name, flush=True))
print("ready", flush=True)
terminal = [sys.stdin] if sys.stdin.isatty() else []
while True:
    # Reads are short: Python runs a signal's handler only after the read.
    if select.select(terminal, [], [], 0.05)[0] and sys.stdin.readline() == "end\\n":
        sys.exit(5)
"""
HANG = "import time; print('ready', flush=True); time.sleep(600)"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


def wait_for_line(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == text:
            return
    raise AssertionError(f"the process ended without {text}")


def test_the_command_gets_variables_and_details(project: Path, home: Path) -> None:
    done = cli("run", "redis", "postgres", "--", *SHOW, cwd=project)
    assert done.returncode == 0, done.stderr
    environment = json.loads(done.stdout)
    redis = json.loads(environment["SERVICECTX_REDIS_DETAILS"])
    postgres = json.loads(environment["SERVICECTX_POSTGRES_DETAILS"])
    assert environment["PGPORT"] == str(postgres["port"])
    assert environment["PGPASSWORD"] == postgres["password"]
    assert environment["REDIS_URL"].endswith(f":{redis['port']}/0")
    assert environment["POSTGRES_URL"] == environment["DATABASE_URL"]
    assert sorted(line.partition(":")[0] for line in done.stderr.splitlines()) == ["postgres", "redis"]
    assert not files(home)


def test_the_command_uses_what_was_started(project: Path) -> None:
    done = cli("run", "-q", "redis", "--", *python(USE), cwd=project)
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, [True, True], "")


@pytest.mark.parametrize("status", [0, 1, 77])
def test_the_exit_status_is_the_commands(project: Path, status: int) -> None:
    assert cli("run", "redis", "--", "sh", "-c", f"exit {status}", cwd=project).returncode == status


def test_a_command_that_a_signal_ended(project: Path) -> None:
    assert cli("run", "redis", "--", "sh", "-c", "kill -KILL $$", cwd=project).returncode == 128 + signal.SIGKILL


def test_a_command_that_cannot_be_run(project: Path) -> None:
    (project / "text").write_text("no program")
    missing = cli("run", "redis", "-q", "--", "no-such-program", cwd=project)
    assert (missing.returncode, missing.stderr) == (127, "servicectx: no-such-program: there is no such program\n")
    assert cli("run", "redis", "--", "./text", cwd=project).returncode == 126


def test_its_own_failures_have_a_status_of_their_own(project: Path) -> None:
    for arguments in (["nope"], ["redis", "--set", "redis.nope=1"], ["redis", "--timeout", "0"]):
        done = cli("run", *arguments, "--", "true", cwd=project)
        assert done.returncode == 125, done.stderr
        assert done.stderr.startswith("servicectx: ")
        assert "Traceback" not in done.stderr
    assert "Traceback" in cli("run", "nope", "--debug", "--", "true", cwd=project).stderr


def test_the_first_failure_stops_the_others(project: Path, home: Path) -> None:
    done = cli(
        *("run", "redis", "command", "--set", "command.command=false", "--set", "command.ready=log:never"),
        *("--", "echo", "it ran"),
        cwd=project,
    )
    assert done.returncode == 125
    assert "did not start" in done.stderr
    assert not done.stdout
    assert not files(home)


@pytest.mark.parametrize("words", [["run", "redis"], ["run", "redis", "--"], ["run", "--", "true"]])
def test_what_must_be_said(project: Path, words: list[str]) -> None:
    assert cli(*words, cwd=project).returncode == 2


def test_roles_and_options(project: Path) -> None:
    done = cli(
        *("run", "--name", "orders=redis", "--name", "cache=redis"),
        *("--set", "orders.settings.maxmemory=64mb", "--", *SHOW),
        cwd=project,
    )
    assert done.returncode == 0, done.stderr
    environment = json.loads(done.stdout)
    assert environment["ORDERS_URL"] != environment["CACHE_URL"]
    assert environment["REDIS_URL"] == environment["ORDERS_URL"]
    assert "REDIS_URL" in done.stderr  # the note names its owner


def test_the_options_name_come_before_the_other_words(project: Path) -> None:
    found = members(("users=redis", "postgres"), ("orders=redis",), ())
    assert [member.role for member in found] == ["orders", "users", "postgres"]


def test_a_role_and_its_service_are_one(project: Path) -> None:
    done = cli("run", "redis", "--name", "orders=redis", "--", *SHOW, cwd=project)
    assert [name for name in json.loads(done.stdout) if name.endswith("_DETAILS")] == ["SERVICECTX_ORDERS_DETAILS"]


def test_details_from_outside_are_handed_on(project: Path) -> None:
    details = '{"host": "example.com", "port": 1}'
    environment = {"SERVICECTX_REDIS_DETAILS": details, "SERVICECTX_EXTERNAL_WAIT": "0"}
    done = cli("run", "redis", "--", *SHOW, cwd=project, env=environment)
    assert json.loads(done.stdout)["REDIS_URL"] == "redis://example.com:1/0"


def test_dashes_behind_the_first_belong_to_the_command(project: Path) -> None:
    done = cli("run", "redis", "-q", "--", "echo", "--", "--quiet", cwd=project)
    assert done.stdout == "-- --quiet\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_passed_on(project: Path, home: Path, number: signal.Signals) -> None:
    with spawn("run", "-q", "redis", "--", *python(SIGNALS), cwd=project, stdout=subprocess.PIPE) as process:
        wait_for_line(process, "ready")
        process.send_signal(number)
        wait_for_line(process, f"received {number.name}")
        process.send_signal(number)
        wait_for_line(process, f"received {number.name}")
        (command,) = psutil.Process(process.pid).children()[1:]
        command.kill()
        assert process.wait(COMMAND_TIMEOUT) == 128 + signal.SIGKILL
    assert not files(home)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_during_the_start(project: Path, home: Path, tmp_path: Path, number: signal.Signals) -> None:
    pause = tmp_path / "paused"
    environment = os.environ | {"SERVICECTX_TEST_PAUSE": f"started:{pause}"}
    with spawn("run", "redis", "--", "echo", "it ran", cwd=project, env=environment, stdout=subprocess.PIPE) as process:
        until = time.monotonic() + COMMAND_TIMEOUT
        while not pause.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(number)
        assert process.stdout is not None
        assert process.wait(COMMAND_TIMEOUT) == 128 + number
        assert process.stdout.read() == ""
    assert not wait_for_none(home, 2.0)


@pytest.mark.parametrize("whole_group", [False, True])
def test_killed(project: Path, home: Path, whole_group: bool) -> None:
    """The command, its children, the services and all files are gone within 2 s."""
    below = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HANG!r}])"
    with spawn(
        *("run", "-q", "redis", "postgres", "--", *python(below)), cwd=project, stdout=subprocess.PIPE, process_group=0
    ) as process:
        wait_for_line(process, "ready")
        assert len(processes(home)) > 5
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        assert not wait_for_none(home, 2.0)


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.3, 0.4, 0.5, 0.7])
def test_killed_at_any_moment(project: Path, delay: float) -> None:
    """A kill before the keeper was spawned leaves files, which the next user removes. A keeper leaves none."""
    home = Home()
    environment = {"SERVICECTX_HOME": str(home.path)}
    try:
        command = ("run", "-q", "redis", "--", *python(HANG))
        with spawn(*command, cwd=project, stdout=subprocess.PIPE, env=os.environ | environment) as process:
            time.sleep(delay)
            process.kill()
            wait_for(lambda: not processes(home.path), 2.0, lambda: str(home.left()))
            made_by_keepers = ("keeper.lock", "watchdog.lock", "processes.json", "service.log")
            assert not [name for name in home.files() if name.endswith(made_by_keepers)]
        assert cli("run", "redis", "--", "true", cwd=project, env=environment).returncode == 0
        assert home.left() == []
    finally:
        home.remove()


def test_many_at_once_share(project: Path, home: Path) -> None:
    words = ("run", "-q", "--share", "redis", "--", *SHOW)
    every = [spawn(*words, cwd=project, stdout=subprocess.PIPE) for _ in range(6)]
    outputs = [process.communicate(timeout=COMMAND_TIMEOUT)[0] for process in every]
    assert [process.returncode for process in every] == [0] * 6
    assert all("SERVICECTX_REDIS_DETAILS" in output for output in outputs)
    assert not files(home)


def test_many_at_once_some_killed(project: Path, home: Path) -> None:
    words = ("run", "-q", "--share", "redis", "--", *python(HANG))
    every = [spawn(*words, cwd=project, stdout=subprocess.PIPE) for _ in range(6)]
    for process in every[:3]:
        time.sleep(0.1)
        process.kill()
    for process in every[3:]:
        wait_for_line(process, "ready")
        process.terminate()
        assert process.wait(COMMAND_TIMEOUT) == 128 + signal.SIGTERM
    for process in every:
        process.wait(COMMAND_TIMEOUT)
        assert process.stdout is not None
        process.stdout.close()
    assert not wait_for_none(home, 2.0)


# -- on a terminal -------------------------------------------------------------------------------------------------


def test_ctrl_c_reaches_the_command_once(project: Path) -> None:
    with Terminal("run", "redis", "--", *python(SIGNALS), cwd=project) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        terminal.expect("received SIGINT")
        terminal.type("end\n")
        assert terminal.end() == 5
        assert "received" not in terminal.text


def test_ctrl_c_ends_an_ordinary_command(project: Path, home: Path) -> None:
    # exec: a shell that is forking a child may attribute the interrupt to the child, and go on waiting
    with Terminal("run", "redis", "--", "sh", "-c", "echo ready; exec sleep 600", cwd=project) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        assert terminal.end() == 128 + signal.SIGINT
    assert not files(home)


def test_the_terminal_is_closed(project: Path, home: Path) -> None:
    with Terminal("run", "redis", "--", *python(HANG), cwd=project) as terminal:
        terminal.expect("ready\r\n")  # the whole line: the rest of a write to a closed terminal would fail
        terminal.close()
        assert terminal.wait() == 128 + signal.SIGHUP
    assert not wait_for_none(home, 2.0)


def test_a_line_each_and_then_silence(project: Path) -> None:
    with Terminal("run", "redis", "postgres", "--", "echo", "silence", cwd=project) as terminal:
        shown = terminal.expect(r"(?s).*silence\r\n")[0]
        assert terminal.end() == 0
    assert "✓" in shown
    assert shown.count("started in") >= 2
    assert not terminal.text.strip()


def test_an_interactive_shell_inside(project: Path) -> None:
    with Terminal("run", "redis", "--", "bash", "--norc", "-i", cwd=project, PS1="prompt> ") as terminal:
        terminal.expect("prompt> ")
        terminal.type("sleep 600\n")
        time.sleep(0.3)
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.type("kill %1; wait; echo $SERVICECTX_REDIS_DETAILS\n")
        terminal.expect('"port":')
        terminal.type("exit 3\n")
        assert terminal.end() == 3


def test_stopped_and_continued(project: Path) -> None:
    shell = ["bash", "--norc", "-i"]
    with Terminal(cwd=project, program=shell, PS1="prompt> ") as terminal:
        terminal.expect("prompt> ")
        terminal.type(f"{sys.executable} -m servicectx run redis -- sh -c 'echo be''gin; sleep 1; echo do''ne'\n")
        terminal.expect("begin")
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.type("fg\n")
        terminal.expect("done")
        terminal.type("exit $?\n")
        assert terminal.end() == 0
