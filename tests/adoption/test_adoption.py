"""Small projects that reach their services as well-known test suites do, run by the commands of docs/adoption.md.

A project's own files do not know servicectx, except for the one whose fixture is replaced. A test uses free ports in
place of the usual ones, in the command and in the project alike: other programs of this machine may have those.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servicectx.services import registry
from tests import servers
from tests.integrations.runs import LIMIT, copy, plugins
from tests.leftovers import wait_for_none
from tests.services import table

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/adoption.md"
RECIPES = dict(re.findall(r"`tests/adoption/(\w+)`.*?```console\n\$ (.*?)\n```", PAGE.read_text(), re.DOTALL))
PASSED = {"django_variables": "Ran 2 tests", "rq_queue": "2 passed", "two_databases": "2 passed"}
# The services that each recipe starts; the project with the fixture of Docker's server starts its own in conftest.py.
SERVERS = {name: [word for word in registry.BUILT_IN if f" {word} " in command] for name, command in RECIPES.items()}
SERVERS["docker_fixture"] = ["kafka"]
FIXED = ("6379", "5672", "5441")  # ports in the code of suites


def test_every_project_has_a_recipe() -> None:
    projects = {path.name for path in HERE.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert set(RECIPES) == projects
    assert len(RECIPES) == 8
    assert all(SERVERS.values()), SERVERS
    assert SERVERS["two_databases"] == ["mariadb", "postgres"]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_suite_runs_as_it_is(name: str, tmp_path: Path, home: Path) -> None:
    for service in SERVERS[name]:
        table.require(service)
    project = copy(HERE / name, tmp_path / name)
    command = on_free_ports(RECIPES[name], project)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=project,
        env=os.environ | {"PATH": path} | plugins("no:cacheprovider"),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSED.get(name, "1 passed") in done.stdout + done.stderr
    assert not wait_for_none(home, 2.0)


def on_free_ports(command: str, project: Path) -> str:
    """The command, with free ports in place of fixed ones there and in the project's files."""
    for port in FIXED:
        if port in command:
            free = str(servers.free_port())
            command = command.replace(port, free)
            for path in project.rglob("*.py"):
                path.write_text(path.read_text().replace(port, free))
    return command
