"""The executor of mirakuru, without the modules that a keeper does not need."""

import shutil
import subprocess
import sys
from pathlib import Path

import mirakuru

IMPORT = """
import sys
sys.path[:0] = sys.argv[1:]
from servicectx.keeper.server import SimpleExecutor
assert "mirakuru" not in sys.modules
import logging, platform, uuid, mirakuru
assert logging.Logger and platform.machine and uuid.UUID
base = SimpleExecutor.__init__.__globals__
print(base["logging"] is logging, hasattr(base["LOG"], "critical"))
"""


def imported(*path: Path) -> str:
    command = [sys.executable, "-c", IMPORT, *map(str, path)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_no_substitute_stays() -> None:
    assert imported() == "False False\n"


def test_a_version_that_uses_more_of_a_module_gets_the_real_one(tmp_path: Path) -> None:
    shutil.copytree(Path(mirakuru.__file__).parent, tmp_path / "mirakuru")
    with open(tmp_path / "mirakuru/base.py", "a") as file:
        file.write("\nclass Handler(logging.StreamHandler):\n    pass\n")
    assert imported(tmp_path) == "True True\n"
