"""One run of one contender: a process, from its exec to its exit, and the marks that it printed."""

import os
import re
import subprocess
import threading
import time
from pathlib import Path

from benchmarks.account import Account

Marks = dict[str, float]

RUN_TIMEOUT = 600.0  # seconds
LONG_TIMEOUT = 3600.0  # seconds, for a script that measures many sizes
OUTPUT = "output"
_MARK = re.compile(r"^mark (\w+) (\d+\.\d+)$", re.MULTILINE)


class Failed(Exception):
    """A contender ended with an error; the message has the end of its output."""


def output(command: list[str], variables: dict[str, str], work: Path, account: Account) -> str:
    """Run a process and return its output. Raises Failed."""
    run(command, variables, work, account, LONG_TIMEOUT)
    return (work / OUTPUT).read_text(errors="replace")


def run(
    command: list[str], variables: dict[str, str], work: Path, account: Account, timeout: float = RUN_TIMEOUT
) -> Marks:
    """Run a process and return its marks, in seconds of the machine's monotonic clock.

    Its output is written to a file. A pipe needs a reader, and a server left behind would hold it open.
    """
    output = work / OUTPUT
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
        watch = threading.Timer(timeout, process.kill)
        watch.start()
        try:
            status = process.wait()  # without a timeout, which would poll and distort the time
            ended = time.monotonic()
        finally:
            watch.cancel()
            process.kill()  # no effect after `wait`
    text = output.read_text(errors="replace")
    if status != 0:
        raise Failed(f"{' '.join(command)[:200]} ended with status {status}:\n{text[-2000:]}")
    return {"began": began, "ended": ended, **{name: float(at) for name, at in _MARK.findall(text)}}


def _environment(work: Path) -> dict[str, str]:
    """A small environment, the same for all. Each contender names its own plugins, so none pays for another's."""
    return {
        "PATH": os.defpath,
        "HOME": str(work),
        "TMPDIR": str(work),
        "LC_ALL": "C.UTF-8",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
