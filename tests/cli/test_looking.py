"""`servicectx status`, `logs`, `list`, `doctor`, `prune`, `cache`, `shell`, `completion`, help and errors."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import servicectx
from servicectx.cli.app import COMMANDS
from servicectx.system.own_command import own_command
from tests.actor import Actor
from tests.cli.command import COMMAND_TIMEOUT, Terminal, cli, spawn
from tests.detector import Home

PLAIN = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def test_status_tells_all(project: Path) -> None:
    with servicectx.managed("redis") as redis, servicectx.managed("postgres", linger=0.1):
        done = cli("status", "--json", cwd=project)
        postgres, found = json.loads(done.stdout)
        assert postgres["data"] > 10_000_000
        assert postgres["memory"] > 1_000_000
        assert found["address"] == f"127.0.0.1:{redis.port}"
        assert found["version"] == redis.version
        assert found["scope"] == str(project)
        assert found["state"] == "in use"
        assert [user["pid"] for user in found["holders"]] == [os.getpid()]
        assert found["holders"][0]["command"] == own_command()
        assert 0 <= found["age"] < COMMAND_TIMEOUT
        assert Path(found["log"]).is_file()
        text = cli("status", cwd=project).stdout
    assert text.splitlines()[0].split()[:3] == ["NAME", "SERVICE", "ADDRESS"]
    assert f"{os.getpid()} " in text
    assert redis.password not in text + done.stdout
    assert cli("status", cwd=project).stdout == "nothing runs\n"


@pytest.mark.parametrize("columns", [40, 60, 80, 160])
def test_status_fits_its_terminal(project: Path, columns: int) -> None:
    with servicectx.managed("redis"), servicectx.managed("postgres", name="orders-of-the-shop"):
        with Terminal("status", cwd=project, columns=columns) as terminal:
            assert terminal.end() == 0
        with Terminal("status", cwd=project, columns=columns, NO_COLOR="1") as colourless:
            assert colourless.end() == 0
    lines = PLAIN.sub("", terminal.text).splitlines()
    assert all(len(line) <= columns for line in lines), lines
    assert "orders-of-the-shop" in PLAIN.sub("", terminal.text), "a name is never cut"
    assert str(project)[:10] in PLAIN.sub("", terminal.text)
    assert "\x1b[32m" in terminal.text
    assert "\x1b[32m" not in colourless.text


def test_status_of_an_instance_that_starts(project: Path, tmp_path: Path) -> None:
    pause = tmp_path / "paused"
    environment = os.environ | {"SERVICECTX_TEST_PAUSE": f"started:{pause}"}
    with spawn("up", "-q", "redis", cwd=project, env=environment) as requester:
        until = time.monotonic() + COMMAND_TIMEOUT
        while not pause.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        (found,) = json.loads(cli("status", "--json", cwd=project).stdout)
        pause.write_text("")
        assert requester.wait(COMMAND_TIMEOUT) == 0
    assert found["state"] == "starting"
    assert str(requester.pid) in found["waits_for"]
    cli("down", cwd=project)


def test_status_of_one_that_is_stopped(project: Path) -> None:
    with servicectx.managed("redis") as redis:
        owner = next(each for each in psutil.net_connections("tcp") if each.laddr.port == redis.port and each.pid)
        os.kill(owner.pid, signal.SIGSTOP)
        try:
            (found,) = json.loads(cli("status", "--json", cwd=project).stdout)
            sick = cli("doctor", cwd=project)
        finally:
            os.kill(owner.pid, signal.SIGCONT)
    assert found["state"] == "silent"
    assert sick.returncode == 1
    assert "no answer: redis" in sick.stdout


def test_status_watches(project: Path) -> None:
    with Terminal("status", "--watch", "-n", "0.1", cwd=project) as terminal:
        terminal.expect("nothing runs")
        with servicectx.managed("redis"):
            terminal.expect("in use")
        terminal.expect("nothing runs")
        terminal.type("\x03")
        assert terminal.end() == 0


def test_logs(project: Path) -> None:
    with servicectx.managed("postgres") as _:
        whole = cli("logs", "postgres", cwd=project).stdout
        assert "ready to accept connections" in whole
        assert cli("logs", "postgres", "-n", "1", cwd=project).stdout == whole.splitlines(keepends=True)[-1]
        assert cli("logs", cwd=project).stdout == whole
        with servicectx.managed("redis"):
            several = cli("logs", cwd=project)
            assert (several.returncode, several.stdout) == (1, "")
            assert "name one of them: postgres, redis" in several.stderr
    assert cli("logs", "postgres", cwd=project).returncode == 1


def test_logs_are_followed_to_the_end(project: Path) -> None:
    with servicectx.managed("redis"):
        following = spawn("logs", "redis", "-f", cwd=project, stdout=subprocess.PIPE)
        assert following.stdout is not None
        following.stdout.readline()
    with following:
        assert following.wait(COMMAND_TIMEOUT) == 0


def test_list(project: Path) -> None:
    every = {each["service"]: each for each in json.loads(cli("list", "--json", cwd=project).stdout)}
    assert every["redis"]["found"]
    assert re.fullmatch(r"[\d.]+", every["redis"]["version"])
    assert every["command"]["program"] is None
    environment = {"SERVICECTX_REDIS_BIN": str(project)}
    missing = cli("list", cwd=project, env=environment).stdout
    assert re.search(r"redis +- +not found; pip install 'servicectx\[redis\]'", missing)


def test_doctor_finds_nothing(project: Path) -> None:
    done = cli("doctor", cwd=project)
    assert done.returncode == 0, done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("wrong")]
    assert {each["what"] for each in json.loads(cli("doctor", "--json", cwd=project).stdout)} >= {"locks", "redis"}


def test_doctor_finds_what_is_wrong(project: Path, home: Path) -> None:
    missing = {"SERVICECTX_REDIS_BIN": str(project)}
    assert cli("doctor", cwd=project, env=missing).returncode == 0  # neither the user nor the project names it
    done = cli("doctor", "redis", cwd=project, env=missing)
    assert done.returncode == 1
    assert "apt-get install redis-server" in done.stdout
    open_to_all = home / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    done = cli("doctor", cwd=project, env={"SERVICECTX_CACHE_SIZE": "much"})
    assert "invalid size 'much'" in done.stdout
    assert "unset SERVICECTX_CACHE_SIZE" in done.stdout
    done = cli("doctor", cwd=project, env={"SERVICECTX_STORAGE": str(project / "nowhere")})
    assert "it is not a directory" in done.stdout
    assert done.returncode == 1
    done = cli("doctor", cwd=project, env={"SERVICECTX_HOME": str(open_to_all)})
    assert done.returncode == 1
    assert f"chmod go-w {open_to_all}" in done.stdout
    open_to_all.rmdir()
    (project / "pyproject.toml").write_text('[tool.servicectx]\norders = {service = "redis", lingre = 1}\n')
    done = cli("doctor", cwd=project)
    assert done.returncode == 1
    assert "tool.servicectx.orders.lingre" in done.stdout


def test_prune_clears_the_dead_alone() -> None:
    """All processes of one instance are killed; another instance lives, and stays."""
    home = Home()
    try:
        with Actor(home) as dead, Actor(home) as living:
            dead.enter("redis", name="dead")
            victims = home.processes()
            living.enter("redis", name="living")
            watchdogs = [process for process in victims if process in home.watchdogs()]
            for process in [*watchdogs, *(process for process in victims if process not in watchdogs)]:
                process.kill()
            dead.kill()
            environment = {"SERVICECTX_HOME": str(home.path)}
            refused = cli("prune", cwd=home.path.parent, env=environment)
            assert re.match(r"dead-\w+: dead, to be cleared\n$", refused.stdout), refused.stdout
            assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
            assert "dead-" in str(home.files()), "nothing is removed without confirmation"
            with Terminal("prune", cwd=home.path.parent, SERVICECTX_HOME=str(home.path)) as terminal:
                terminal.expect(r"dead-\w+: dead, to be cleared")
                terminal.expect(r"Remove them\? \[y/N\]")
                terminal.type("n\n")
                assert terminal.end() == 1
                assert "nothing was removed" in terminal.text
            assert "dead-" in str(home.files()), "the answer was no"
            output = cli("prune", "--yes", cwd=home.path.parent, env=environment).stdout
            assert re.match(r"dead-\w+: dead, to be cleared\ncleared\n$", output), output
            assert living.ask("use")["used"] == "42"
            assert cli("prune", cwd=home.path.parent, env=environment).stdout == "nothing to clear\n"
            living.leave()
        home.wait_until_empty()
    finally:
        home.remove()


def test_cache(project: Path) -> None:
    environment = {"SERVICECTX_CACHE": str(project / "cache")}
    assert "is empty" in cli("cache", cwd=project, env=environment).stdout
    cli("run", "postgres", "-q", "--", "true", cwd=project, env=environment)
    (found,) = json.loads(cli("cache", "--json", cwd=project, env=environment).stdout)["copies"]
    assert (found["kind"], found["size"] > 1_000_000) == ("templates", True)
    output = cli("cache", cwd=project, env=environment).stdout
    assert output.splitlines()[0].split("  ")[0] == "NAME"
    assert re.search(r"prepared, empty +postgres +1\d\.\d+ +- +- +\d+ MB ", output)
    assert (found["service"], found["setup"], found["project"]) == ("postgres", "", "")
    assert "of at most 2.1 GB in" in output
    small = environment | {"SERVICECTX_CACHE_SIZE": "1M"}
    assert "of at most 1 MB in" in cli("cache", cwd=project, env=small).stdout, "showing the cache changes nothing"
    assert "is empty; at most 1 MB" in cli("cache", "--trim", cwd=project, env=small).stdout
    (project / "schema.sql").write_text("create table things (id int)")
    shop = 'shop = {service = "postgres", setup = "schema.sql", snapshot = true}'
    (project / "pyproject.toml").write_text(f"[tool.servicectx]\n{shop}")
    cli("run", "shop", "-q", "--", "true", cwd=project, env=environment)
    output = cli("cache", cwd=project, env=environment).stdout
    row = rf"after the set-up +postgres +1\d\.\d+ +schema\.sql \(\w+\) +{project.name} +\d+ MB "
    assert re.search(row, output), output
    assert "removed" in cli("cache", "--clear", cwd=project, env=environment).stdout
    assert "is empty" in cli("cache", cwd=project, env=environment).stdout


def test_a_shell_of_a_database(project: Path) -> None:
    cli("up", "-q", "postgres", cwd=project)
    assert cli("shell", "postgres", "--", "-Atc", "select 40 + 2", cwd=project).stdout == "42\n"
    assert cli("shell", "postgres", "--", "-c", "nonsense", cwd=project).returncode == 1
    with Terminal("shell", "postgres", "--", "--no-psqlrc", cwd=project) as terminal:
        terminal.expect("postgres=#")
        assert "in use" in cli("status", cwd=project).stdout
        terminal.type("select pg_sleep(600);\n")
        time.sleep(0.5)
        terminal.type("\x03")
        terminal.expect("canceling statement")  # psql handles Ctrl-C
        terminal.type("\\q\n")
        assert terminal.end() == 0
    cli("down", cwd=project)


def test_a_shell_that_is_not_installed(project: Path) -> None:
    cli("up", "-q", "redis", cwd=project)
    done = cli("shell", "redis", cwd=project, env={"SERVICECTX_VALKEY_CLI_BIN": str(project)})
    assert done.returncode == 1
    assert "apt-get install redis-tools" in done.stderr
    cli("down", cwd=project)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(project: Path, shell: str) -> None:
    assert "_SERVICECTX_COMPLETE" in cli("completion", shell, cwd=project).stdout


def test_what_is_completed(project: Path) -> None:
    def completed(line: str) -> set[str]:
        number = str(len(line.split()) - 1 + line.endswith(" "))
        environment = {"_SERVICECTX_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": number}
        return {each.partition(",")[2] for each in cli(cwd=project, env=environment).stdout.splitlines()}

    assert completed("servicectx ") == set(COMMANDS)
    assert completed("servicectx run po") == {"postgres"}
    with servicectx.managed("redis", name="orders"):
        assert completed("servicectx logs ") == {"orders"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(project: Path, name: str) -> None:
    done = cli(name, "--help", cwd=project)
    assert done.returncode == 0
    assert f"servicectx {name}" in done.stdout.partition("Examples:")[2]


def test_errors_are_said_in_words(project: Path) -> None:
    done = cli("up", "nope", cwd=project)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("servicectx: no service is called 'nope'")
    assert "Traceback" not in done.stderr
    assert "Traceback" in cli("up", "nope", "--debug", cwd=project).stderr
    assert "Traceback" in cli("--debug", "up", "nope", cwd=project).stderr
    unknown = cli("statsu", cwd=project)
    assert unknown.returncode == 2
    assert "Did you mean 'status'?" in unknown.stderr


def test_without_the_extra(project: Path) -> None:
    code = "import sys; sys.modules['click'] = None; from servicectx.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=project)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'servicectx[cli]'" in done.stderr


def test_a_reader_that_has_enough(project: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m servicectx doctor | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_whoever_lists_services_starts_none(project: Path) -> None:
    """RabbitMQ's script starts a broker with any arguments."""
    listed = json.loads(cli("list", "--json", cwd=project).stdout)
    assert {"mariadb", "rabbitmq"} <= {each["service"] for each in listed}
    home = os.environ["SERVICECTX_HOME"].encode()
    brokers = [each for each in psutil.process_iter(["name"]) if each.info["name"] in ("beam.smp", "java")]
    for broker in brokers:
        with contextlib.suppress(OSError):
            assert home not in Path(f"/proc/{broker.pid}/environ").read_bytes(), "the list started it"
