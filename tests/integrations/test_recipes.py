"""The example projects, run by the commands of their READMEs, and in other usual ways."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.runs import Run, copy, plugins
from tests.leftovers import wait_for_none

EXAMPLES = Path(__file__).parents[2] / "examples"
INSTALLED = "own_service"  # tests/services/test_own_service.py installs it into an environment of its own
# tests/integrations/test_how_to.py runs these
ON_SHARED_SERVERS = ["ci", "fastapi_async", "flask_notes", "other_languages", "psycopg2_queries"]
ON_SHARED_SERVERS += ["sqlalchemy_session", "sqlmodel_fastapi"]
ON_LINGERING_SERVERS = ["coding_agent", "direnv", "django_pytest"]
ELSEWHERE = (INSTALLED, *ON_SHARED_SERVERS, *ON_LINGERING_SERVERS)
PROJECTS = [path.parent for path in sorted(EXAMPLES.glob("*/README.md")) if path.parent.name not in ELSEWHERE]

SPAWNED = """
import multiprocessing, os
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
    execute_from_command_line(["manage.py", "test", "--parallel", "2"])
"""


def commands(project: Path) -> Iterator[str]:
    for block in re.findall(r"```console\n(.*?)```", (project / "README.md").read_text(), re.DOTALL):
        for line in block.splitlines():
            yield line.removeprefix("$ ")


def test_every_project_says_how_to_run_it() -> None:
    assert [path.name for path in PROJECTS] == ["celery_worker", "django_shop", "sqlalchemy_alembic"]
    assert all(list(commands(project)) for project in [*PROJECTS, *map(EXAMPLES.joinpath, ELSEWHERE)])


@pytest.mark.parametrize(
    ("project", "command"),
    [(project, command) for project in PROJECTS for command in commands(project)],
    ids=lambda value: value.name if isinstance(value, Path) else value,
)
def test_a_project_runs(project: Path, command: str, place: Path) -> None:
    warnings = "" if project.name == "celery_worker" else "error"  # celery warns root
    run = Run(copy(project, place / project.name), command, PYTHONWARNINGS=warnings).passes()
    assert "skipped" not in run.output


@pytest.mark.parametrize("project", ["celery_worker", "fastapi_async"])
def test_workers_share_what_a_recipe_starts(project: str, place: Path) -> None:
    environment: Any = plugins("asyncio", "anyio")
    Run(copy(EXAMPLES / project, place / project), "python -m pytest -n 2", **environment).passes()


def test_django_spawns_its_workers(place: Path) -> None:
    project = copy(EXAMPLES / "django_shop", place / "shop")
    (project / "spawned.py").write_text(SPAWNED)
    run = Run(project, "python -W error spawned.py").passes()
    assert "Ran 4 tests" in run.output


@pytest.mark.parametrize("command", ["python manage.py test", "python manage.py test --parallel 2"])
def test_two_runs_of_django_at_once(command: str, place: Path) -> None:
    project = copy(EXAMPLES / "django_shop", place / "shop")
    runs = [Run(project, command) for _ in range(2)]
    for run in runs:
        run.wait()
    for run in runs:
        assert "Ran 4 tests" in run.passes().output


def test_a_worker_of_celery_does_not_outlive_a_killed_run(place: Path) -> None:
    project = copy(EXAMPLES / "celery_worker", place / "jobs")
    (project / "test_jobs.py").write_text("""
import time
from journal import note

def test_it_hangs(jobs):
    assert jobs.add.delay(2, 3).get(timeout=10) == 5
    note("hanging")
    time.sleep(60)
""")
    run = Run(project, "python -m pytest")
    run.wait_for_note("hanging")
    run.signal_all(signal.SIGKILL)
    run.end(gone=7)  # the worker has 5 s to finish its jobs


def test_a_prompt(home: Path, place: Path) -> None:
    """The example is pasted into a prompt. A second prompt, which is killed, finds the data of the first."""
    example = (EXAMPLES / "repl.py").read_text()
    assert "linger=2)" in example
    cells = example.replace("linger=2)", "linger=60)")  # the second prompt may take longer than two seconds to begin
    done = subprocess.run(
        [sys.executable, "-i"], input=cells, cwd=place, capture_output=True, text=True, timeout=60, check=True
    )
    assert "\n(1,)\n" in done.stdout, done.stderr
    assert "\n(True,)\n" in done.stdout, done.stderr
    assert "Error" not in done.stderr
    end = "\nimport os, signal, sys\nsys.stdout.flush()\nos.kill(os.getpid(), signal.SIGKILL)\n"
    killing = cells.partition("# %% the last cell")[0] + end
    done = subprocess.run([sys.executable, "-i"], input=killing, cwd=place, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert "\n(2,)\n" in done.stdout, done.stderr
    down = [sys.executable, "-m", "servicectx", "down", "--all"]
    subprocess.run(down, cwd=place, check=True, capture_output=True, timeout=60)
    left = wait_for_none(home, 4.0)
    assert not left, left
    assert os.listdir(place) == []
