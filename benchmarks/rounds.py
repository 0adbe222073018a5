"""Rounds: the contenders of a case in turn, repeatedly, so that a noisy minute affects all of them."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import account, places, process, quiet
from benchmarks.account import Account
from benchmarks.case import Case, Contender
from benchmarks.environment import Environment

# What a smoke run makes smaller: the variables that a contender has, and the workers of pytest-xdist.
SMOKE = {"BENCH_TESTS": "2", "BENCH_TABLES": "3", "BENCH_CROWD": "4", "BENCH_SPARE_WAIT": "0"}
WORKERS, SMOKE_WORKERS = "8", "2"


class Rounds(NamedTuple):
    """How often, and how. `patience`: seconds to wait for a quiet moment before each run. `smoke`: small sizes."""

    number: int = 11
    warm_up: int = 1
    patience: float = 3.0
    smoke: bool = False


class Outcome(NamedTuple):
    """The times of a case in ms, by contender and stage, one for each round; reasons for missing contenders."""

    case: Case
    times: dict[str, dict[str, list[float]]]
    missing: dict[str, str]
    disturbed: int | None  # runs that began on a busy machine; None: not looked at


def measure(case: Case, environment: Environment, rounds: Rounds, progress: Callable[[str], None]) -> Outcome:
    """Run a case. Raises process.Failed."""
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
        for number in range(-rounds.warm_up, rounds.number):
            progress(f"{case.name}: {'warming up' if number < 0 else f'round {number + 1} of {rounds.number}'}")
            for contender in running:
                disturbed += not quiet.wait(rounds.patience)
                marks = _run(case, contender, environment, base, rounds.smoke)
                for stage in case.stages if number >= 0 else ():
                    times[contender.name][stage.name].append((marks[stage.until] - marks[stage.since]) * 1000)
    return Outcome(case, times, missing, disturbed if rounds.patience else None)


def _run(case: Case, contender: Contender, environment: Environment, base: Path, smoke: bool) -> process.Marks:
    user = _account(case, contender)
    own = account_directory(base, user)
    work = Path(tempfile.mkdtemp(prefix="", dir=own))
    user.own(work)
    placeholders = {"work": str(work), "base": str(own), "workers": SMOKE_WORKERS if smoke else WORKERS}
    placeholders |= {"scripts": str(environment.scripts), **environment.servers()}
    command = [environment.python]
    for argument in contender.arguments:
        kind, _, name = argument.partition(":")
        command += (
            ["-c", (environment.scripts / name).read_text()] if kind == "script" else [argument.format(**placeholders)]
        )
    variables = {name: value.format(**placeholders) for name, value in contender.variables.items()}
    variables |= {name: value for name, value in SMOKE.items() if smoke and name in variables}
    try:
        return process.run(command, environment.variables | variables, work, user)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _account(case: Case, contender: Contender) -> Account:
    return account.me() if contender.privileged or not case.unprivileged else account.unprivileged()


def account_directory(base: Path, user: Account) -> Path:
    """The account's own part of `base`, with its runtime directory: each account refuses that of another one."""
    own = base / str(user.user)
    for path in (own, own / "run"):
        if not path.exists():
            path.mkdir(mode=0o700)
            user.own(path)
    own.chmod(0o711)  # for accounts that a server of root has
    return own


@contextlib.contextmanager
def _directory(case: Case) -> Iterator[Path]:
    """A directory on the case's file system, for all of its accounts."""
    accounts = {account.me(), *(_account(case, contender) for contender in case.contenders)}
    with places.directory(case.file_system == "memory", accounts) as base:
        yield base
