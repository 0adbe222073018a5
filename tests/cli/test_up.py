"""`servicectx up`, `env`, `details`, `down`: programs join services of the shell, and the shell joins theirs."""

import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import servicectx
from servicectx.cli.env_formats import FORMATS
from tests.cli.command import cli, spawn
from tests.detector import wait_for
from tests.leftovers import files, processes, wait_for_none

TRICKY = 'a\'b "c" $HOME `id` \\ d'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "project"
    place.mkdir()
    (place / "pyproject.toml").touch()
    monkeypatch.chdir(place)
    return place


def ok(*arguments: object, cwd: Path, **env: str) -> str:
    done = cli(*arguments, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_up_stays_and_down_ends_it(project: Path, home: Path) -> None:
    output = ok("up", "redis", "postgres", cwd=project)
    assert "until `servicectx down`" in output
    assert 'eval "$(servicectx env)"' in output
    assert len(processes(home)) >= 6
    assert sorted(ok("down", cwd=project).splitlines()) == ["postgres: stopped", "redis: stopped"]
    assert not files(home)
    assert not processes(home)


def test_the_scope_of_the_environment_is_that_of_all_commands(project: Path, home: Path) -> None:
    ok("up", "-q", "redis", cwd=project, SERVICECTX_SCOPE="nightly")
    assert "REDIS_URL" in ok("env", cwd=project, SERVICECTX_SCOPE="nightly")
    missing = cli("env", cwd=project)
    assert missing.returncode == 1
    assert "--scope nightly" in missing.stderr
    assert ok("down", cwd=project, SERVICECTX_SCOPE="nightly") == "redis: stopped\n"
    assert not files(home)


def test_a_program_joins_what_the_shell_started(project: Path) -> None:
    ok("up", "-q", "redis", "--set", "redis.settings.maxmemory=64mb", cwd=project)
    with servicectx.managed("redis", settings={"maxmemory": "64mb"}) as redis:
        assert json.loads(ok("details", "redis", cwd=project))["password"] == redis.password
    managed = servicectx.managed("redis", settings={"maxmemory": "64mb"})
    with managed:
        assert managed.joined
        refused = cli("down", cwd=project)
        assert refused.returncode == 1
        assert f"{os.getpid()} " in refused.stderr
        assert managed.alive
    ok("down", "redis", cwd=project)


def test_the_shell_joins_what_a_program_started(project: Path, home: Path) -> None:
    with servicectx.managed("redis") as redis:
        assert "joined" in cli("up", "redis", "--linger", "1h", cwd=project).stderr
    assert processes(home)
    assert json.loads(ok("details", cwd=project))["port"] == redis.port
    ok("down", cwd=project)


def test_down_by_force(project: Path, home: Path) -> None:
    managed = servicectx.managed("redis")
    with managed:
        ok("down", "--force", cwd=project)
        assert not managed.alive
        assert not wait_for_none(home, 2.0)


def test_a_lingering_one_ends_by_itself(project: Path, home: Path) -> None:
    ok("up", "-q", "redis", "--linger", "0.5s", "--details-dir", "details", cwd=project)
    assert not wait_for_none(home, 5.0)
    assert not list((project / "details").iterdir())


@pytest.mark.parametrize("form", ["sh", "bash", "zsh", "dotenv"])
def test_variables_for_shells_and_files(project: Path, form: str) -> None:
    (project / "script").write_text(FORMATS[form]({"ONE": TRICKY, "TWO": "2"}))
    show = f'{shlex.quote(sys.executable)} -c \'import os; print(os.environ["ONE"] + os.environ["TWO"])\''
    shell = ["bash", "-c", f"set -a; . ./script; {show}"]
    done = subprocess.run(shell, cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout == f"{TRICKY}2\n"


def test_variables_for_fish() -> None:
    """fish manual: within single quotes only the backslash and the quote itself are escaped."""
    assert FORMATS["fish"]({"ONE": 'it\'s $1 \\ "2"'}) == "set -gx ONE 'it\\'s $1 \\\\ \"2\"'"


def test_env_is_for_eval(project: Path) -> None:
    ok("up", "-q", "redis", cwd=project)
    evaluated = subprocess.run(
        ["sh", "-c", f'eval "$({sys.executable} -m servicectx env)"; echo "$REDIS_URL"'],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert evaluated == json.loads(ok("env", "--json", cwd=project))["REDIS_URL"]
    assert f"set -gx REDIS_URL '{evaluated}'" in ok("env", cwd=project, SHELL="/usr/bin/fish")
    ok("down", cwd=project)


def test_up_can_print_variables_itself(project: Path) -> None:
    output = json.loads(ok("up", "redis", "--format", "json", cwd=project))
    assert output == json.loads(ok("env", "--json", cwd=project))
    ok("down", cwd=project)


def test_a_command_that_is_killed_while_it_writes_a_details_file_leaves_none(project: Path, tmp_path: Path) -> None:
    paused, details = tmp_path / "paused", project / "details [1]"
    pause = os.environ | {"SERVICECTX_TEST_PAUSE": f"replacing:{paused}"}
    with spawn("up", "-q", "redis", "--details-dir", details.name, cwd=project, env=pause) as command:
        wait_for(paused.exists, 30)
        command.kill()
    assert len(list(details.iterdir())) == 1
    ok("down", cwd=project)
    assert list(details.iterdir()) == []


def test_details_files(project: Path) -> None:
    """A details file is private, named by the variable, used as details from outside, and removed with the service."""
    ok("up", "-q", "redis", "postgres", "--details-dir", "details", cwd=project)
    file = project / "details" / "redis.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(ok("env", "--json", cwd=project))["SERVICECTX_REDIS_DETAILS"] == str(file)
    kept = project / "details" / "postgres.json"
    kept.write_text("another text was written here")
    ok("down", cwd=project)
    assert not file.exists()
    assert kept.exists()


def test_kept_data_are_kept_by_down(project: Path) -> None:
    ok("up", "-q", "postgres", "--keep-data", cwd=project)
    done = cli("down", cwd=project)
    assert done.returncode == 0
    data = Path(done.stderr.rpartition("the data of postgres are kept; open them with: servicectx open ")[2].strip())
    assert (data / "service.log").exists()
    assert str(data) in ok("prune", cwd=project)
    assert data.exists()
    assert cli("prune", "--kept-data", cwd=project).returncode == 1
    assert data.exists(), "a script needs --yes"
    ok("prune", "--kept-data", "--yes", cwd=project)
    assert not data.exists()


def test_another_project_is_left_alone(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "setup.cfg").touch()
    ok("up", "-q", "redis", cwd=project)
    for arguments in (["down"], ["down", "redis"], ["env"], ["env", "redis"], ["logs", "redis"], ["shell", "redis"]):
        done = cli(*arguments, cwd=other)
        assert done.returncode == 1
        assert f"--scope project:{project}" in done.stderr, arguments
    ok("down", "redis", "--scope", f"project:{project}", cwd=other)


def test_scopes_and_names(project: Path, tmp_path: Path) -> None:
    ok("up", "-q", "redis", "--scope", "user", "--name", "mine=redis", cwd=project)
    ok("up", "-q", "redis", cwd=project)
    ok("up", "-q", "redis", "--set", "redis.settings.maxmemory=64mb", cwd=project)
    assert json.loads(ok("details", "mine", cwd=tmp_path))["name"] == "mine"
    ok("up", "-q", "--scope", "nightly", "--name", "mine=redis", cwd=project)
    assert "'mine' may be one of these" in cli("details", "mine", cwd=tmp_path).stderr
    doubtful = cli("down", "redis", cwd=project)
    assert doubtful.returncode == 1
    key = doubtful.stderr.splitlines()[1].split()[0]
    assert json.loads(ok("details", key, cwd=project))["name"] == "redis"
    assert len(json.loads(ok("status", "--json", "redis", cwd=project))) == 2
    assert len(json.loads(ok("status", "--json", "--scope", "user", cwd=project))) == 1
    ok("down", "--all", cwd=project)
    assert json.loads(ok("status", "--json", cwd=project)) == []


def test_of_several_instances_the_one_of_the_present_configuration_is_meant(project: Path, home: Path) -> None:
    ports = {}
    for size in ("64mb", "32mb"):
        (project / "pyproject.toml").write_text(
            f'[tool.servicectx]\ncache = {{service = "redis", settings = {{maxmemory = "{size}"}}}}\n'
        )
        done = cli("up", cwd=project)
        assert ("cache runs 2 times here" in done.stderr) == (size == "32mb"), done.stderr
        assert "2 times" not in cli("up", "-q", cwd=project).stderr
        ports[size] = json.loads(ok("details", "cache", cwd=project))["port"]
    assert len(set(ports.values())) == 2
    text = (project / "pyproject.toml").read_text()
    for size, edited in (("32mb", text), ("64mb", text.replace("32mb", "64mb")), ("32mb", "")):
        (project / "pyproject.toml").write_text(edited)
        for names in ([], ["cache"]):
            done = cli("env", *names, "--json", cwd=project)
            assert json.loads(done.stdout)["REDIS_PORT"] == str(ports[size])
            reason = "its configuration is the present one" if edited else "is the latest"
            assert reason in done.stderr
            assert "stop the others with: servicectx down cache-" in done.stderr
    refused = cli("down", "cache", cwd=project)
    assert refused.returncode == 1
    assert "'cache' may be one of these; name one by its key" in refused.stderr
    assert ok("down", cwd=project) == "cache: stopped\n" * 2
    missing = cli("env", "cache", cwd=project)
    assert "start it with `servicectx up cache`" in missing.stderr


def test_details_from_outside_start_nothing(project: Path, home: Path) -> None:
    output = ok(
        "up",
        "redis",
        cwd=project,
        SERVICECTX_REDIS_DETAILS='{"host": "example.com", "port": 1}',
        SERVICECTX_EXTERNAL_WAIT="0",
    )
    assert "Nothing was started" in output
    assert not files(home)


def test_what_cannot_be(project: Path) -> None:
    assert cli("up", cwd=project).returncode == 2
    assert cli("up", "redis", "--linger", "0", cwd=project).returncode == 2
    assert cli("up", "redis", "--linger", "soon", cwd=project).returncode == 2
    assert cli("down", "--all", "redis", cwd=project).returncode == 2
    assert cli("down", cwd=project).returncode == 1
    assert cli("env", cwd=project).returncode == 1
