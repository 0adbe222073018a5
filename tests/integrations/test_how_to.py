"""The example projects of the how-to pages, by the commands of their READMEs. They share one Postgres and one Redis."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicectx import managed, managed_all
from tests.conftest import CLEANUP_WAIT
from tests.integrations.runs import copy, plugins
from tests.integrations.test_recipes import EXAMPLES, ON_SHARED_SERVERS, commands
from tests.leftovers import end, wait_for_none

SCOPE = "how-to"
ASYNC = ("fastapi_async", "sqlalchemy_session")  # projects with coroutines as tests
TIMEOUT = 300  # seconds
pytestmark = pytest.mark.timeout(2 * TIMEOUT)
COMMANDS = [(name, command) for name in ON_SHARED_SERVERS for command in commands(EXAMPLES / name)]


@pytest.fixture(scope="module", autouse=True)
def home(run_directory: Path, cache: Path) -> Iterator[Path]:
    """One home for all tests here, with servers that every project joins. At the end nothing may be left in it."""
    path = Path(tempfile.mkdtemp(prefix="home-", dir=run_directory))
    path.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SERVICECTX_")]:
            patch.delenv(name)
        patch.setenv("SERVICECTX_HOME", str(path))
        patch.setenv("SERVICECTX_CACHE", str(cache.parent))
        patch.setenv("SERVICECTX_RUN_SCOPE", SCOPE)
        with managed_all("postgres", "redis"):
            yield path
        left = wait_for_none(path, CLEANUP_WAIT)
        if left:
            end(path)
        shutil.rmtree(path, ignore_errors=True)
        assert not left, left


def run(command: str, folder: Path, *, shared: bool = True, **environment: str) -> str:
    """The output of a command, in which `python` is the Python of the tests. `shared`: it joins the servers here."""
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        **plugins("no:cacheprovider", *(["asyncio", "anyio"] if folder.name in ASYNC else [])),
    }
    inherited = os.environ | variables | environment
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={name: value for name, value in inherited.items() if shared or name != "SERVICECTX_RUN_SCOPE"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_a_project_runs_on_the_shared_servers(name: str, command: str, place: Path) -> None:
    output = run(command, copy(EXAMPLES / name, place / name))
    assert "skipped" not in output
    if "pytest" in command:
        assert "postgres: joined in" in output, output
        assert ": started in" not in output, output
    if "visits" in command:
        assert re.search(r"^visits: \d+$", output, re.MULTILINE), output


def test_pytest_django_migrates_once_for_all_workers_and_runs(place: Path) -> None:
    """The second run, with another number of workers, joins the migrated server."""
    project = copy(EXAMPLES / "django_pytest", place / "shop")
    addopts = plugins("django", "no:cacheprovider")
    first = run("python -m pytest -W error -n 2 --servicectx-linger 10m", project, shared=False, **addopts)
    assert re.search(r"postgres: started in .* by gw\d, joined in .* by gw\d; set-up Django's migrations", first), first
    second = run(
        "python -m pytest -W error --reuse-db --servicectx-linger 10m && servicectx down",
        project,
        shared=False,
        **addopts,
    )
    assert re.search(r"postgres: joined in .*; set-up Django's migrations", second), second
    assert "5 passed" in first
    assert "5 passed" in second
    assert "postgres: stopped" in second


def test_no_server_is_started_for_makemigrations(place: Path) -> None:
    """With a program of Postgres that does not exist, each start of a server would fail."""
    for name in ("django_pytest", "django_shop"):
        command = "python -W error manage.py makemigrations --check"
        output = run(command, copy(EXAMPLES / name, place / name), SERVICECTX_POSTGRES_BIN="/nowhere")
        assert "No changes detected" in output


def test_keepdb_finds_the_database_of_the_previous_run(place: Path) -> None:
    project = copy(EXAMPLES / "django_shop", place / "shop")
    command = "SERVICECTX_LINGER=10m python -W error manage.py test --keepdb -v 2"
    output = run(f"{command} && {command} && servicectx down", project, shared=False)
    assert output.count("Applying shop.0001_initial") == 1, output
    assert output.count("Ran 4 tests") == 2
    assert "shop: stopped" in output


def test_two_worktrees_have_servers_of_their_own(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scope is the project: the nearest directory with a `.git`, which is a file in a second worktree."""
    monkeypatch.delenv("SERVICECTX_RUN_SCOPE")
    git = "git -c user.name=test -c user.email=test@example.com -c init.defaultBranch=main"
    run(f"{git} init -q one && cd one && {git} commit -q --allow-empty -m first && {git} worktree add -q ../two", place)
    assert (place / "two/.git").is_file()
    monkeypatch.chdir(place / "one")
    with managed("redis") as one:
        monkeypatch.chdir(place / "two")
        with managed("redis") as two:
            assert one.port != two.port


def test_the_set_up_step_of_a_sandbox_runs(place: Path) -> None:
    """pip finds all packages of the extras here, without an index."""
    project = copy(EXAMPLES / "coding_agent", place / "sandbox")
    output = run("sh setup.sh", project, PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    assert "Requirement already satisfied: servicectx" in output
    assert "ok     redis" in output


def test_the_commands_for_coding_agents_run(place: Path) -> None:
    project = copy(EXAMPLES / "coding_agent", place / "sandbox")
    shown = [*commands(project)]
    paragraph = " ".join((project / "AGENTS.md").read_text(encoding="utf-8").split())
    for command in re.findall(r"`((?:servicectx|eval) [^`]+)`", paragraph):
        assert any(line.startswith(command.removesuffix("COMMAND")) for line in shown), command
    output = run(" && ".join(shown), project, shared=False)
    assert output.count("postgresql://") >= 2
    assert "ready to accept connections" in output
    assert "postgres: stopped" in output


def test_direnv_sets_the_variables_of_the_project(place: Path) -> None:
    project = copy(EXAMPLES / "direnv", place / "shop")
    script = "watch_file() { test -e $1; }; . ./.envrc && python cache.py && servicectx down"  # as direnv defines it
    assert run(script, project, shared=False).splitlines() == ["visits: 1", "cache: stopped"]
