"""What runs together: servers of one `servicectx run`, of a project, and of `servicectx up`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import COMMAND, cli
from tests.leftovers import files

PORT = [sys.executable, "-c", "import json, os; print(json.loads(os.environ['SERVICECTX_REDIS_DETAILS'])['port'])"]
# Prints the port, and ends when its standard input ends.
HOLD = [sys.executable, "-uc", f"import runpy, subprocess, sys; subprocess.run({PORT!r}); sys.stdin.read()"]
JOIN = """
import servicectx
with servicectx.managed("redis", name="cache") as details:
    print(details.port)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


class Held:
    """A run whose command stays until the end of the block; `port` is the port of its redis."""

    def __init__(self, project: Path, *words: str, **options: Any) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "run", "-q", "redis", *words, "--", *HOLD],
            cwd=project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )

    def __enter__(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0


def port(done: "subprocess.CompletedProcess[str]") -> int:
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_two_runs_at_once_have_servers_of_their_own(project: Path, home: Path) -> None:
    with Held(project) as first, Held(project) as second:
        assert first != second
    assert not files(home)


def test_runs_share_if_requested(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Held(project, "--share") as first, Held(project, "--share") as second:
        assert first == second
    with Held(project, "--scope", "project") as first:
        assert port(cli("run", "-q", "redis", "--share", "--", *PORT, cwd=project)) == first
    monkeypatch.setenv("SERVICECTX_SCOPE", "project")
    with Held(project) as first, Held(project) as second:
        assert first == second
    monkeypatch.delenv("SERVICECTX_SCOPE")
    (project / "pyproject.toml").write_text('[tool.servicectx]\nredis = {service = "redis", scope = "project"}\n')
    with Held(project) as first, Held(project) as second:
        assert first == second


def test_a_server_that_lingers_is_for_later_runs(project: Path) -> None:
    words = ("run", "-q", "redis", "--set", "redis.linger=60", "--", *PORT)
    assert port(cli(*words, cwd=project)) == port(cli(*words, cwd=project))
    assert cli("down", "-q", cwd=project).returncode == 0


def test_all_programs_below_a_run_share(project: Path, home: Path) -> None:
    """Services that the run does not name: for `managed()`, a nested run, and pytest with workers."""
    (project / "join.py").write_text(JOIN)
    for number in (1, 2, 3):
        (project / f"test_{number}.py").write_text(
            "from servicectx_pytest import service_fixture\n"
            "cache = service_fixture('redis', name='cache')\n"
            "def test_it(cache):\n"
            "    with open('ports', 'a') as ports:\n"
            "        ports.write(f'{cache.port}\\n')\n"
        )
    nested = f"{' '.join(COMMAND)} run -q --name cache=redis -- sh -c 'echo ${{CACHE_URL##*:}} | cut -d/ -f1 >> ports'"
    pytest_run = f"{sys.executable} -m pytest -q -p no:cacheprovider -p no:asyncio -n 2"
    (project / "script.sh").write_text(f"set -e\n{nested}\n{sys.executable} join.py >> ports\n{pytest_run}\n")
    (project / "hold.py").write_text(
        "import subprocess, servicectx\n"
        "with servicectx.managed('redis', name='cache') as details:\n"
        "    open('ports', 'a').write(f'{details.port}\\n')\n"
        "    raise SystemExit(subprocess.run(['sh', 'script.sh']).returncode)\n"
    )
    words = [*COMMAND, "run", "-q", "redis", "--", sys.executable, "hold.py"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    ports = (project / "ports").read_text().split()
    assert len(ports) == 6
    assert len(set(ports)) == 1
    assert not files(home)


def test_a_run_joins_what_up_keeps_running(project: Path) -> None:
    assert cli("up", "-q", "redis", cwd=project).returncode == 0
    (instance,) = json.loads(cli("status", "--json", cwd=project).stdout)
    with Held(project) as first, Held(project) as second:
        assert first == second == int(instance["address"].rpartition(":")[2])
        shown = cli("run", "-q", "redis", "--set", "redis.settings.maxmemory=64mb", "--", *PORT, cwd=project)
        assert port(shown) != first  # another server than that of `up`
        nested = cli(
            "run", "-q", "--name", "cache=redis", "--", *COMMAND, "run", "-q", "redis", "--", *PORT, cwd=project
        )
        assert port(nested) == first
    assert cli("down", "-q", cwd=project).returncode == 0


def test_a_run_does_not_join_what_another_program_started(project: Path) -> None:
    with Held(project, "--share") as shared, Held(project) as own:
        assert shared != own


def test_commands_below_a_run_find_its_instances(project: Path) -> None:
    inner = "servicectx env redis --format dotenv; servicectx env --format dotenv; echo $REDIS_URL"
    done = cli("run", "-q", "redis", "--", "sh", "-c", inner.replace("servicectx", " ".join(COMMAND)), cwd=project)
    assert done.returncode == 0, done.stderr
    url = done.stdout.splitlines()[-1]
    assert url.startswith("redis://")
    assert sum(line.startswith("REDIS_URL=") and url in line for line in done.stdout.splitlines()) == 2


def test_without_names_the_services_of_the_project_start(project: Path, home: Path) -> None:
    (project / "pyproject.toml").write_text("""
[tool.servicectx]
cache = "redis"
jobs = {service = "redis", settings = {maxmemory = "64mb"}}
""")
    show = [sys.executable, "-c", "import os; print(sorted(n for n in os.environ if n.endswith('_URL')))"]
    done = cli("run", "-q", "--", *show, cwd=project)
    assert done.returncode == 0, done.stderr
    assert "'CACHE_URL', 'JOBS_URL'" in done.stdout
    done = cli("run", "-q", "--set", "jobs.settings.maxmemory=nonsense", "--", "true", cwd=project)
    assert done.returncode == 125
    assert "redis 'jobs' did not start" in done.stderr
    assert cli("up", cwd=project).stdout.startswith("cache jobs: up until")
    assert cli("down", cwd=project).stdout.splitlines() == ["cache: stopped", "jobs: stopped"]
    assert not files(home)


@pytest.mark.parametrize("words", [("up",), ("run", "--", "true")])
def test_without_names_and_configuration_the_error_shows_what_to_write(project: Path, words: tuple[str, ...]) -> None:
    done = cli(*words, cwd=project)
    assert done.returncode == 2
    assert f"write the services of the project into {project / 'pyproject.toml'}" in done.stderr
    example = done.stderr[done.stderr.index("  [tool.servicectx]") : done.stderr.index("`servicectx list`")]
    (project / "pyproject.toml").write_text(example)
    (project / "schema.sql").write_text("create table orders (item text)")
    done = cli("run", "-q", "--", "sh", "-c", "echo $ORDERS_URL $CACHE_URL", cwd=project)
    assert done.stdout.startswith("postgresql://"), done.stderr


def test_share_and_scope_exclude_each_other(project: Path) -> None:
    done = cli("run", "redis", "--share", "--scope", "user", "--", "true", cwd=project)
    assert done.returncode == 2
    assert "--share is the scope of the project; omit it, or --scope" in done.stderr
