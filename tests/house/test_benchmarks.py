"""The benchmarks run for every account, and report verdicts. No figure of a run decides here."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from benchmarks import account, environment, footprint, places, plot, report, scale
from benchmarks.account import Account
from benchmarks.case import Bar, Case, Contender, Stage
from benchmarks.cases import CASES
from benchmarks.curve import CURVES
from benchmarks.rounds import Outcome

ROOT = Path(__file__).parents[2]
PARTS = ("servicectx", "integrations/servicectx_pytest", "benchmarks")
START = Stage("start", "began", "ended")


class Clone(NamedTuple):
    """A copy of the checkout that every account can read, and the Python of the contenders."""

    path: Path
    python: str


@pytest.fixture(scope="module")
def clone() -> Iterator[Clone]:
    place = Path(tempfile.mkdtemp(prefix="sctx-clone-", dir=places.disk({account.me(), account.unprivileged()})))
    try:
        for part in PARTS:
            shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "setup.cfg", place)
        (place / ".venv").mkdir()
        with environment.made() as venv:
            (place / ".venv" / "bench").symlink_to(venv.root)
        place.chmod(0o755)
        yield Clone(place, venv.python)
    finally:
        shutil.rmtree(place)


@pytest.fixture
def foreign_temporary() -> Iterator[Path]:
    """A temporary directory of another account; without root, one that every account can change."""
    path = Path(tempfile.mkdtemp(prefix="sctx-foreign-", dir="/tmp"))
    path.chmod(0o777)
    if os.geteuid() == 0:
        os.chown(path, pwd.getpwnam("daemon").pw_uid, -1)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("user", ["this user", "nobody"] if os.geteuid() == 0 else ["this user"])
def test_a_case_runs_below_a_foreign_temporary_directory(clone: Clone, foreign_temporary: Path, user: str) -> None:
    nobody = pwd.getpwnam("nobody")
    switch = Account(nobody.pw_uid, nobody.pw_gid).switch if user == "nobody" else {}
    done = subprocess.run(
        [clone.python if switch else sys.executable, "-m", "benchmarks", "redis", "--smoke"],
        cwd=clone.path,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(foreign_temporary), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        **switch,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "redis: ran"


def outcome(bar: Bar, times: dict[str, list[float]], missing: dict[str, str] | None = None) -> Outcome:
    contenders = tuple(Contender(name, ()) for name in (*times, *(missing or {})))
    case = Case("redis", "a title", (START,), contenders, (bar,))
    return Outcome(case, {name: {"start": ms} for name, ms in times.items()}, missing or {}, 0)


def verdict(bar: Bar, **times: list[float]) -> str:
    return str(report.bars(outcome(bar, times))[0]["verdict"])


def test_a_ratio_is_taken_round_by_round() -> None:
    slow_second_round = {"ours": [9.0, 90.0, 9.0], "peer": [10.0, 100.0, 10.0]}
    assert verdict(Bar("start", "ours", "peer", 0.9), **slow_second_round) == "pass"
    assert verdict(Bar("start", "ours", "peer", 0.8), **slow_second_round) == "MISS"


def test_a_bar_on_the_difference_of_two_runs() -> None:
    bar = Bar("start", "ours", "peer", 0.3, less=("ours_one", "peer_one"), label="21 less 1")
    times = {"ours": [130.0], "ours_one": [100.0], "peer": [200.0], "peer_one": [100.0]}
    (row,) = report.bars(outcome(bar, times))
    assert (row["value"], row["verdict"], row["stage"]) == (0.3, "pass", "21 less 1")


def test_the_other_kinds_of_bars() -> None:
    few_more = Bar("start", "ours", "peer", 1.02, "times or 5 ms")
    assert verdict(few_more, ours=[104.0], peer=[100.0]) == "pass"
    assert verdict(few_more, ours=[1015.0], peer=[1000.0]) == "pass"
    assert verdict(few_more, ours=[110.0], peer=[100.0]) == "MISS"
    assert verdict(Bar("start", "ours", "", 2.0, "ms"), ours=[1.9]) == "pass"
    assert verdict(Bar("start", "ours", "", 2.0, "ms"), ours=[2.1]) == "MISS"


def test_a_missing_peer_is_a_line_of_the_table() -> None:
    found = outcome(Bar("start", "ours", "peer", 0.5), {"ours": [1.0]}, {"peer": "peer is not installed"})
    assert "peer is not installed" in report.table(found)
    table = report.markdown(report.bars(found), "a processor, 2 cores", 1)
    assert "not measured: peer is not installed" in table
    assert table.startswith("Measured on a processor, 2 cores; medians of 1 round")


def test_each_bar_names_contenders_and_a_stage_of_its_case() -> None:
    for name, make in CASES.items():
        case = make()
        for bar in case.bars:
            assert {*bar.contenders} <= {contender.name for contender in case.contenders}, name
            assert bar.stage in {stage.name for stage in case.stages}, name


def test_the_peers_are_in_the_extra() -> None:
    wanted = "\n".join(environment.requirements())
    for package in ("pytest-redis", "pytest-postgresql", "pytest-xdist", "pgserver", "mirakuru", "psycopg", "redis"):
        assert package in wanted


def test_a_directory_is_refused_where_an_account_cannot_keep_private_files(tmp_path: Path) -> None:
    mine, other = account.me(), Account(os.geteuid() + 12345, os.getegid())
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert "others can write" in str(places.problem(shared, {mine}))
    assert "belongs to user id" in str(places.problem(shared, {other})) or os.geteuid() == 0
    tmp_path.chmod(0o700)
    assert "cannot enter" in str(places.problem(shared, {other}, private=False))


def test_curves_are_drawn_and_judged() -> None:
    points = {"join": {1: [1.0], 256: [1.5]}, "leave": {1: [0.1], 256: [0.4]}}
    drawing = ElementTree.fromstring(plot.svg({"join": points}, "a processor & 2 cores"))
    assert [text for text in drawing.itertext() if text == "256"]
    assert len(drawing.findall(".//{*}polyline")) == 2
    flat, growing = scale.table(CURVES["join"], points).splitlines()[-2:]
    assert flat.endswith("flat")
    assert growing.endswith("grows 4.0 times")


def test_the_memory_of_an_instance_is_judged_together() -> None:
    lines = "memory keeper 20480 10240\nmemory watchdog 10240 5120\nmemory prefetcher 20480 {}\n"
    assert "bar: PSS <= 25 MiB: pass" in footprint.table(footprint.parse(lines.format(10240)))
    assert "bar: PSS <= 25 MiB: MISS" in footprint.table(footprint.parse(lines.format(10241)))
