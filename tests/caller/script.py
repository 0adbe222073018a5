"""Python code of a user, in a process with its own environment."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 60.0  # seconds


def run(code: str, *before: str, seconds: float = LIMIT, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run `code` to its end. `before`: a command that runs Python, such as `unshare --net`."""
    return subprocess.run(
        [*before, sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def output(code: str, *before: str, seconds: float = LIMIT, **variables: str) -> str:
    """Standard output of `code`, which must succeed."""
    done = run(code, *before, seconds=seconds, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
