"""One run of one contender: a process, from its exec to its exit, and the marks that it printed on the way."""

import os
import re
import subprocess
import threading
import time
from pathlib import Path

from benchmarks.account import Account

Marks = dict[str, float]

PATIENCE = 120.0
_MARK = re.compile(r"^mark (\w+) (\d+\.\d+)$", re.MULTILINE)


class Failed(Exception):
    """A contender ended with an error; the message holds what it printed last."""


def run(command: list[str], variables: dict[str, str], work: Path, account: Account) -> Marks:
    """The marks of a process, in seconds of the clock that all processes of a machine share.

    Its output goes to a file: a pipe would have to be read, and could be held open by a server it leaves behind.
    """
    output = work / "output"
    with output.open("wb") as file:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            env=_environment(work) | variables,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            **account.switch,
        )
        watch = threading.Timer(PATIENCE, process.kill)
        watch.start()
        try:
            status = process.wait()  # without a timeout: with one, it polls, and that would be what is measured
            ended = time.monotonic()
        finally:
            watch.cancel()
            process.kill()  # nothing happens to one that was waited for
    said = output.read_text(errors="replace")
    if status != 0:
        raise Failed(f"{' '.join(command)[:200]} ended with status {status}:\n{said[-2000:]}")
    return {"began": began, "ended": ended, **{name: float(at) for name, at in _MARK.findall(said)}}


def _environment(work: Path) -> dict[str, str]:
    """Little, and the same for all. Plugins are named by each contender, so that none pays for another's."""
    return {
        "PATH": os.defpath,
        "HOME": str(work),
        "TMPDIR": str(work),
        "LC_ALL": "C.UTF-8",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
