"""The command of a process for people, in processes that are started in each way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOW = "from servicectx.system.own_command import own_command; print(own_command())"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOW)
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool/__main__.py").write_text(SHOW)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        (("shop.py", "-v"), {}, ["shop.py", "-v"]),
        (("-m", "shop", "-v"), {}, ["python", "-m", "shop", "-v"]),
        (("-m", "tool"), {}, ["python", "-m", "tool"]),
        (("tool", "x"), {}, ["tool", "x"]),
        (("-c", f"\n{SHOW} # {'long ' * 20}", "x"), {}, ["python", "-c", f"{SHOW[:60]}...", "x"]),
        (("-c", f"import execnet; {SHOW}"), {"PYTEST_XDIST_WORKER": "gw3"}, ["pytest", "worker gw3"]),
        (("-c", SHOW), {"PYTEST_XDIST_WORKER": "gw3"}, ["python", "-c", f"{SHOW[:60]}..."]),
        (("-",), {}, ["python"]),
    ],
    ids=["script", "module", "package", "directory", "code", "worker", "program of a worker", "standard input"],
)
def test_each_way(folder: Path, arguments: tuple[str, ...], variables: dict[str, str], expected: list[str]) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "PYTEST_XDIST_WORKER"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)} | variables,
        input=SHOW,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{expected}\n"
