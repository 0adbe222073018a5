"""Cold starts without a set-up: from a snapshot, and from a spare data directory."""

from benchmarks.case import Bar, Case, Contender, Stage
from benchmarks.cases.stages import CLUSTER, ON_DISK, OURS, PROCESS, USABLE

START = Stage("request until usable", "requested", "usable")  # without the interpreter and the first imports
TABLES = {"BENCH_TABLES": "200"}
SNAPSHOT, EMPTY = "servicectx, snapshot of 200 tables", "servicectx, empty server"
SPARE, BARE = "servicectx, spare ready", "the bare server's own start"


def in_memory() -> Case:
    return _case(OURS)._replace(name="snapshot", title="cold Postgres with 200 tables from a snapshot, data in memory")


def on_disk() -> Case:
    title = "cold Postgres with 200 tables from a snapshot, data on disk"
    return _case(ON_DISK)._replace(name="snapshot-disk", title=title, file_system="disk")


def _case(variables: dict[str, str]) -> Case:
    first = {"XDG_CACHE_HOME": "{work}/cache"}
    return Case(
        name="",
        title="",
        stages=PROCESS,
        unprivileged=True,
        contenders=(
            Contender(SNAPSHOT, ("script:postgres_snapshot.py",), variables | TABLES),
            Contender(EMPTY, ("script:managed.py", "postgres"), variables),
            Contender(
                "servicectx, 200 tables made anew (no cache)",
                ("script:postgres_snapshot.py",),
                variables | TABLES | first,
            ),
        ),
        bars=(Bar(USABLE.name, SNAPSHOT, EMPTY, 1.2),),
    )


def spare() -> Case:
    variables = ON_DISK | {
        "SERVICECTX_CACHE": "{base}/cache-spare",
        "BENCH_STORAGE": "{base}",
        "BENCH_SPARE_WAIT": "300",
    }
    small = {"SERVICECTX_CACHE": "{base}/cache", "SERVICECTX_CACHE_SIZE": "70M"}  # without room for a spare
    return Case(
        name="spare",
        title="cold Postgres with a spare ready, data on disk",
        stages=(USABLE, START),
        file_system="disk",
        unprivileged=True,
        contenders=(
            Contender(SPARE, ("script:postgres_spare.py",), variables),
            Contender(BARE, ("script:postgres_bare.py",), CLUSTER),
            Contender("servicectx, copying", ("script:postgres_spare.py",), variables | small),
        ),
        bars=(Bar(START.name, SPARE, BARE, 3.5),),
    )
