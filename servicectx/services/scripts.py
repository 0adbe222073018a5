"""Files of a set-up, run by a server's own client."""

import os
import subprocess

from servicectx.services.base import environment


def run(command: list[str], variables: dict[str, str]) -> None:
    """Run the client once. `variables` hold the login. Raises RuntimeError with what the client said."""
    done = subprocess.run(
        command,
        env=environment(HOME=os.devnull, TMPDIR="/tmp") | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        name = os.path.basename(command[0])
        raise RuntimeError(done.stderr.strip() or f"{name} ended with exit status {done.returncode}")
