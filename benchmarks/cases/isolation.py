"""A separate database for each test, compared with pytest-postgresql, which also clones one for each test."""

from benchmarks.case import Bar, Case, Contender, Stage
from benchmarks.cases.stages import ON_DISK, OURS, PYTEST

PEER = (*PYTEST, "-p", "pytest_postgresql.plugin", "--postgresql-exec={postgres}/pg_ctl")
OWN_TEST, PEER_TEST = "{scripts}/test_own_database.py", "{scripts}/test_own_database_peer.py"
SUITE = {"BENCH_TESTS": "400", "BENCH_TABLES": "200"}
WORKERS = ("-p", "xdist.plugin", "-n", "{workers}")
INSIDE = Stage("20 tests: end of the first until end of the last", "first", "last")
WHOLE = Stage("the whole run", "began", "ended")
DIFFERENCE = "run of 21 tests less run of 1"


def in_memory() -> Case:
    return _tests(OURS, 0.3)._replace(name="isolated", title="tests with separate databases; data in memory")


def on_disk() -> Case:
    title = "tests with separate databases; data on disk"
    return _tests(ON_DISK, 0.15)._replace(name="isolated-disk", title=title, file_system="disk")


def as_installed() -> Case:
    title = "the same, with the default directories: servicectx in memory, pytest-postgresql among temporary files"
    return _tests(OURS, 0.2)._replace(name="isolated-installed", title=title, file_system="disk")


def _tests(variables: dict[str, str], limit: float) -> Case:
    few = ("servicectx, 1 test", "pytest-postgresql, 1 test")
    many = ("servicectx", "pytest-postgresql")
    return Case(
        name="",
        title="",
        stages=(INSIDE, WHOLE),
        unprivileged=True,
        contenders=(
            _own(many[0], variables, 21),
            _peer(many[1], 21),
            _own(few[0], variables, 1),
            _peer(few[1], 1),
        ),
        bars=(
            Bar(INSIDE.name, *many, limit),
            Bar(WHOLE.name, *many, limit, less=few, label=DIFFERENCE),
        ),
    )


def _own(name: str, variables: dict[str, str], tests: int) -> Contender:
    arguments = (*PYTEST, "-p", "servicectx_pytest", OWN_TEST)
    return Contender(name, arguments, variables | _number(tests))


def _peer(name: str, tests: int) -> Contender:
    return Contender(name, (*PEER, PEER_TEST), _number(tests), needs="pytest_postgresql")


def _number(tests: int) -> dict[str, str]:
    return {"BENCH_TESTS": str(tests)} if tests > 1 else {}  # a smoke run changes the variable


def suite() -> Case:
    return Case(
        name="isolated-suite",
        title="8 workers of pytest-xdist, 400 tests with a database of their own, 200 tables; data in memory",
        stages=(WHOLE,),
        unprivileged=True,
        contenders=(
            Contender("servicectx", (*PYTEST, *WORKERS, "-p", "servicectx_pytest", OWN_TEST), OURS | SUITE),
            Contender("pytest-postgresql", (*PEER, *WORKERS, PEER_TEST), SUITE, needs="pytest_postgresql"),
        ),
        bars=(Bar(WHOLE.name, "servicectx", "pytest-postgresql", 0.5),),
    )


def asking() -> Case:
    open_, connect = Stage("open", "requested", "given"), Stage("first connection", "given", "connected")
    leave = Stage("give back", "leaving", "back")
    return Case(
        name="isolated-ask",
        title="opening a database while some are ready, imports done; data in memory",
        stages=(open_, connect, leave),
        unprivileged=True,
        contenders=(Contender("servicectx", ("script:isolated.py",), OURS),),
        bars=tuple(Bar(stage.name, "servicectx", "", 2.0, "ms") for stage in (open_, leave)),
    )
