"""Rounds: the contenders of a case in turn, repeatedly, so that a noisy minute affects all of them."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import account, process, quiet
from benchmarks.case import Case, Contender
from benchmarks.environment import Environment

MEMORY = Path("/dev/shm")
WARM_UP = 1


class Outcome(NamedTuple):
    """The times of a case in ms, by contender and stage, one for each round; reasons for missing contenders."""

    case: Case
    times: dict[str, dict[str, list[float]]]
    missing: dict[str, str]
    disturbed: int  # runs that began on a busy machine


def measure(
    case: Case, environment: Environment, rounds: int, patience: float, progress: Callable[[str], None]
) -> Outcome:
    """Run a case. Before each run, wait for a quiet moment for at most `patience` seconds."""
    missing = {
        contender.name: f"{contender.needs} is not installed"
        for contender in case.contenders
        if contender.needs and not environment.has(contender.needs)
    }
    running = [contender for contender in case.contenders if contender.name not in missing]
    times: dict[str, dict[str, list[float]]] = {
        contender.name: {stage.name: [] for stage in case.stages} for contender in running
    }
    disturbed = 0
    with _directory(case) as base:
        for number in range(-WARM_UP, rounds):
            progress(f"{case.name}: {'warming up' if number < 0 else f'round {number + 1} of {rounds}'}")
            for contender in running:
                disturbed += not quiet.wait(patience)
                marks = _run(case, contender, environment, base)
                for stage in case.stages if number >= 0 else ():
                    times[contender.name][stage.name].append((marks[stage.until] - marks[stage.since]) * 1000)
    return Outcome(case, times, missing, disturbed)


def _run(case: Case, contender: Contender, environment: Environment, base: Path) -> process.Marks:
    user = account.me() if contender.privileged or not case.unprivileged else account.unprivileged()
    work = Path(tempfile.mkdtemp(dir=base))
    user.own(work)
    placeholders = {"work": str(work), "base": str(base), "scripts": str(environment.scripts), **environment.servers()}
    command = [environment.python]
    for argument in contender.arguments:
        kind, _, name = argument.partition(":")
        command += (
            ["-c", (environment.scripts / name).read_text()] if kind == "script" else [argument.format(**placeholders)]
        )
    variables = {name: value.format(**placeholders) for name, value in contender.variables.items()}
    try:
        return process.run(command, variables, work, user)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _directory(case: Case) -> Iterator[Path]:
    """A directory on the case's file system, owned by the case's account."""
    memory = case.file_system == "memory" and os.access(MEMORY, os.W_OK)
    base = Path(tempfile.mkdtemp(prefix="bench-", dir=MEMORY if memory else None))
    try:
        base.chmod(0o711)
        if case.unprivileged:
            account.unprivileged().own(base)
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)
