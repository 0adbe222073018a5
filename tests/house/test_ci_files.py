"""The workflows, the examples for CI and `action.yml`: they parse, name extras that exist, and their commands run."""

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from servicectx import managed

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples/ci").glob("*.yml"))
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


def lines(found: Any) -> list[str]:
    """All values of `run` and `script`, at any depth."""
    if isinstance(found, list):
        return [line for entry in found for line in lines(entry)]
    if not isinstance(found, dict):
        return []
    own = [found[key] for key in ("run", "script") if key in found]
    texts = [text for value in own for text in (value if isinstance(value, list) else [value])]
    return texts + [line for value in found.values() for line in lines(value)]


def extras() -> set[str]:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return set(setup["options.extras_require"])


def shell(script: str, folder: Path, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=os.environ | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_targets_of_make(path: Path) -> None:
    """A failure of a job can then be repeated on any machine."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    commands = lines(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert commands
    for command in commands:
        assert re.fullmatch(r"make ([a-z-]+)( [A-Z]+=\S+)*", command), command
        assert command.split()[1] in targets
        assert {word.partition("=")[0] for word in command.split()[2:]} <= set(
            re.findall(r"^([A-Z]+) \?=", makefile, re.M)
        )
    assert {command.split()[1] for command in commands} <= set(
        re.findall(r"`make ([a-z-]+)", (ROOT / "RELEASING.md").read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_commands_are_those_that_run_here(path: Path) -> None:
    found = lines(yaml.safe_load(path.read_text(encoding="utf-8")))
    carried = ["test"] if path.name == "gitlab-ci.yml" else []  # the next test runs it
    assert [line.split()[0] for line in found] == ["pip", *carried, "servicectx", "pytest"]
    text = path.read_text(encoding="utf-8")
    versions = re.findall(r"(?i:postgres): (\[.*\])", text)
    (named,) = re.findall(r"servicectx\[(.+)\]['\"]", found[0])
    *others, versioned = named.split(",")
    assert re.fullmatch(r"postgres(\$POSTGRES|\$\{\{ matrix\.postgres \}\}|<< parameters\.postgres >>)", versioned)
    assert {*others, *(f"postgres{version}" for version in yaml.safe_load(versions[0]))} <= extras()
    assert f"$ {found[-2]}\n" in (ROOT / "examples/ci/README.md").read_text(encoding="utf-8")


def test_gitlab_carries_prepared_data_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = yaml.safe_load((ROOT / "examples/ci/gitlab-ci.yml").read_text(encoding="utf-8"))["test"]
    (store,) = job["after_script"]
    assert store.split()[-1] in job["cache"]["paths"]
    monkeypatch.setenv("SERVICECTX_CACHE", str(tmp_path / "first"))
    with managed("postgres", scope="private"):
        pass
    shell(store, tmp_path)
    variables = {"SERVICECTX_CACHE": str(tmp_path / "second")}
    shell(job["script"][1], tmp_path, **variables)
    assert "postgres" in shell("servicectx cache", tmp_path, **variables)


# `circleci tests` in a job: the files of a pattern, and the share of this node.
CIRCLECI = """#!/bin/sh
case "$2" in
    glob) ls $3 ;;
    split) awk "NR % $CIRCLE_NODE_TOTAL == $CIRCLE_NODE_INDEX" ;;
esac
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shards_are_all_tests(path: Path, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"test_{number}.py").touch()
    program = tmp_path / "bin/circleci"
    program.parent.mkdir()
    program.write_text(CIRCLECI)
    program.chmod(0o755)
    command = lines(yaml.safe_load(path.read_text(encoding="utf-8")))[-1]
    shards = []
    for index in ("1", "2"):
        script = command.replace("pytest -n 4", "echo").replace("${{ matrix.shard }}", index)
        variables = {"SHARD": index, "CIRCLE_NODE_TOTAL": "2", "CIRCLE_NODE_INDEX": str(int(index) - 1)}
        shards.append(shell(f"PATH={program.parent}:$PATH\n{script}", tmp_path, **variables).split())
    assert all(shards)
    assert sorted(name for shard in shards for name in shard) == sorted(path.name for path in tmp_path.glob("*.py"))


def test_the_steps_of_the_action_run(tmp_path: Path) -> None:
    """pip resolves the requirement of the action, without dependencies and without an installation."""
    checkout = tmp_path / "action"
    checkout.mkdir()
    for name in ("servicectx", "integrations", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shell(f"cp -R {ROOT / name} {checkout}", tmp_path)
    output, environment = tmp_path / "output", tmp_path / "env"
    variables = {"GITHUB_ACTION_PATH": checkout, "RUNNER_TEMP": tmp_path, "GITHUB_OUTPUT": output}
    pip = {f"PIP_{name}": "1" for name in ("DRY_RUN", "NO_DEPS", "IGNORE_INSTALLED", "DISABLE_PIP_VERSION_CHECK")}
    pip |= {"PIP_NO_BUILD_ISOLATION": "0", "GITHUB_ENV": str(environment), "SERVICES": "redis"}
    printed = ""
    for step in ACTION["runs"]["steps"]:
        if "run" in step:
            assert step["shell"] == "bash"
            printed += shell(step["run"], tmp_path, **pip, **{name: str(path) for name, path in variables.items()})
    assert "Would install servicectx-" in printed
    assert "ok     redis" in printed
    assert environment.read_text() == f"SERVICECTX_CACHE={tmp_path}/servicectx\n"
    values = dict(line.split("=") for line in output.read_text().splitlines())
    assert values["cache-directory"] == f"{tmp_path}/servicectx"
    assert re.fullmatch(r"[0-9a-f]{16}", values["packages"])


def test_the_inputs_of_the_action_are_used_and_described() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    page = (ROOT / "docs/how-to/ci.md").read_text(encoding="utf-8")
    assert (
        set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"]) == {"services", "python-version", "cache"}
    )
    assert all(f"`{name}`" in page and entry["description"] for name, entry in ACTION["inputs"].items())
    assert all("@v" in step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step)
