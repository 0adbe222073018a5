"""Failing command lines in scripts: output for `eval`, and names without an instance."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import servicectx
from tests.cli.command import cli

CLI = f"{shlex.quote(sys.executable)} -m servicectx"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluated(shell: str, arguments: str, cwd: Path, **variables: str) -> str:
    """Output of a script that continues if `eval` succeeds."""
    script = f'eval "$({CLI} {arguments})" && echo "continues with $REDIS_URL"'
    environment = {"PATH": "/usr/bin:/bin", "REDIS_URL": "an old one"} | variables
    done = subprocess.run(
        [shell, "-c", script], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr
    assert (done.returncode == 0) == bool(done.stdout)
    return done.stdout


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    "arguments",
    [
        "env",
        "env x",
        "env --no-such-option",
        "env --format sh x",
        "env --format=zsh x",
        "env --format nope",
    ],
)
def test_eval_fails_where_env_fails(project: Path, home: Path, shell: str, arguments: str) -> None:
    assert evaluated(shell, arguments, project, SERVICECTX_HOME=str(home)) == ""


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_eval_fails_where_up_fails(project: Path, home: Path, shell: str) -> None:
    assert evaluated(shell, "up unknown --format sh", project, SERVICECTX_HOME=str(home)) == ""


def test_eval_fails_where_the_command_line_is_not_installed(project: Path) -> None:
    code = "import sys; sys.modules['click'] = None; from servicectx.cli import main; main()"
    command = [sys.executable, "-c", code, "env"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=project)
    assert (done.returncode, done.stdout) == (2, "false\n")


def test_fish_gets_it_too_and_files_do_not(project: Path) -> None:
    assert cli("env", cwd=project, env={"SHELL": "/usr/bin/fish"}).stdout == "false\n"
    for arguments in (("--json",), ("--format", "dotenv"), ("--format=json",)):
        done = cli("env", *arguments, cwd=project)
        assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("words", [("status",), ("status", "--json"), ("logs",), ("down",), ("details",), ("shell",)])
def test_a_name_that_nothing_has_is_a_failure(project: Path, words: tuple[str, ...]) -> None:
    done = cli(*words, "orders", cwd=project)
    assert done.returncode == 1
    assert "nothing called 'orders' runs" in done.stderr


def test_status_shows_the_names_that_are_there_and_reports_the_others(project: Path) -> None:
    with servicectx.managed("redis", name="orders"):
        done = cli("status", "orders", "oders", "users", cwd=project)
        assert done.returncode == 1
        assert done.stdout.splitlines()[1].startswith("orders ")
        assert "nothing called 'oders' runs here. Did you mean 'orders'?" in done.stderr
        assert "nothing called 'users' runs here" in done.stderr
        assert cli("status", "orders", cwd=project).returncode == 0
        assert cli("status", "orders", "--scope", "user", cwd=project).returncode == 1


@pytest.mark.parametrize("command", ["status", "env", "down", "details", "logs", "shell", "run", "up"])
def test_a_misspelt_scope_is_refused(project: Path, command: str) -> None:
    done = cli(command, "redis", "--scope", "projct", *(["--", "true"] if command == "run" else []), cwd=project)
    assert done.returncode in (1, 2, 125)
    assert "did you mean 'project'?" in done.stderr
