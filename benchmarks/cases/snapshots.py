"""Cold starts without a set-up: from a snapshot, and from a spare data directory."""

from benchmarks.case import Bar, Case, Contender, Stage
from benchmarks.cases.stages import ON_DISK, OURS, PROCESS, USABLE

CLUSTER = {"SERVICECTX_POSTGRES_BIN": "{postgres}"}
START = Stage("request until usable", "requested", "usable")  # without the interpreter and the first imports
FIRST = {"XDG_CACHE_HOME": "{work}/cache"}


def in_memory() -> Case:
    return _case(OURS)._replace(name="snapshot", title="cold Postgres with 200 tables from a snapshot, data in memory")


def on_disk() -> Case:
    title = "cold Postgres with 200 tables from a snapshot, data on disk"
    return _case(ON_DISK)._replace(name="snapshot-disk", title=title, file_system="disk")


def _case(variables: dict[str, str]) -> Case:
    return Case(
        name="",
        title="",
        stages=PROCESS,
        unprivileged=True,
        contenders=(
            Contender("servicectx, snapshot of 200 tables", ("script:postgres_snapshot.py",), variables=variables),
            Contender(
                "servicectx, empty server",
                ("script:managed.py", "postgres"),
                {USABLE.name: Bar(1.3)},
                variables=variables,
            ),
            Contender(
                "servicectx, 200 tables made anew (no cache)",
                ("script:postgres_snapshot.py",),
                variables=variables | FIRST,
            ),
        ),
    )


def spare() -> Case:
    variables = ON_DISK | {"SERVICECTX_CACHE": "{base}/cache-spare", "BENCH_STORAGE": "{base}"}
    return Case(
        name="spare",
        title="cold Postgres with a spare ready, data on disk",
        stages=(USABLE, START),
        file_system="disk",
        unprivileged=True,
        contenders=(
            Contender("servicectx, spare ready", ("script:postgres_spare.py",), variables=variables),
            Contender("the bare server's own start", ("script:postgres_bare.py",), {START.name: Bar(1.5)}, CLUSTER),
            Contender(
                "servicectx, copying",
                ("script:postgres_spare.py",),
                variables=variables | {"SERVICECTX_CACHE": "{base}/cache", "SERVICECTX_CACHE_SIZE": "70M"},
            ),
        ),
    )
