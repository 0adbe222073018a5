"""Run the files of a set-up with a server's own client."""

import os
import subprocess
from pathlib import Path

from servicectx.services.base import environment
from servicectx.system.originals import open


def run(command: list[str], variables: dict[str, str], file: Path | None = None) -> None:
    """Run the client once with `file` as its input. `variables` hold the login. Raises RuntimeError with its stderr."""
    with open(file or os.devnull, "rb") as source:
        done = subprocess.run(
            command,
            env=environment(HOME=os.devnull, TMPDIR="/tmp") | variables,
            stdin=source,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        name = os.path.basename(command[0])
        raise RuntimeError(done.stderr.strip() or f"{name} ended with exit status {done.returncode}")
