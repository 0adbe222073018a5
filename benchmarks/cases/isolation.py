"""A separate database for each test, compared with pytest-postgresql, which also clones one for each test."""

from benchmarks.case import Bar, Case, Contender, Stage
from benchmarks.cases.stages import ON_DISK, OURS, PYTEST

PEER = (*PYTEST, "-p", "pytest_postgresql.plugin", "--postgresql-exec={postgres}/pg_ctl")
TESTS = {"BENCH_TESTS": "21"}
SUITE = {"BENCH_TESTS": "400", "BENCH_TABLES": "200"}
WORKERS = ("-p", "xdist.plugin", "-n8")


def in_memory() -> Case:
    title = "20 more tests with separate databases, after the first one; data in memory"
    return _tests(OURS, Bar(0.33))._replace(name="isolated", title=title)


def on_disk() -> Case:
    title = "20 more tests with separate databases, after the first one; data on disk"
    return _tests(ON_DISK, Bar(0.2))._replace(name="isolated-disk", title=title, file_system="disk")


def as_installed() -> Case:
    title = "the same, with the default directories: servicectx in memory, pytest-postgresql among temporary files"
    return _tests(OURS, Bar(0.2))._replace(name="isolated-installed", title=title, file_system="disk")


def _tests(variables: dict[str, str], bar: Bar) -> Case:
    stage = Stage("end of the first test until the end of the last", "first", "last")
    return Case(
        name="",
        title="",
        stages=(stage,),
        unprivileged=True,
        contenders=(
            Contender(
                "servicectx",
                (*PYTEST, "-p", "servicectx_pytest", "{scripts}/test_own_database.py"),
                variables=variables | TESTS,
            ),
            Contender(
                "pytest-postgresql",
                (*PEER, "{scripts}/test_own_database_peer.py"),
                {stage.name: bar},
                TESTS,
                needs="pytest_postgresql",
            ),
        ),
    )


def suite() -> Case:
    stage = Stage("the whole run", "began", "ended")
    return Case(
        name="isolated-suite",
        title="8 workers of pytest-xdist, 400 tests with a database of their own, 200 tables; data in memory",
        stages=(stage,),
        unprivileged=True,
        contenders=(
            Contender(
                "servicectx",
                (*PYTEST, *WORKERS, "-p", "servicectx_pytest", "{scripts}/test_own_database.py"),
                variables=OURS | SUITE,
            ),
            Contender(
                "pytest-postgresql",
                (*PEER, *WORKERS, "{scripts}/test_own_database_peer.py"),
                {stage.name: Bar(0.5)},
                SUITE,
                needs="pytest_postgresql",
            ),
        ),
    )


def asking() -> Case:
    open_, connect = Stage("open", "requested", "given"), Stage("first connection", "given", "connected")
    leave = Stage("give back", "leaving", "back")
    return Case(
        name="isolated-ask",
        title="opening a database while some are ready, imports done; data in memory",
        stages=(open_, connect, leave),
        unprivileged=True,
        contenders=(
            Contender(
                "servicectx", ("script:isolated.py",), {open_.name: Bar(2.0, "ms"), leave.name: Bar(2.0, "ms")}, OURS
            ),
        ),
    )
