"""Cold Postgres, with all data in memory, and with all data on disk."""

from benchmarks.case import Bar, Case, Contender
from benchmarks.cases.stages import ON_DISK, OURS, PROCESS, PYTEST, USABLE

CLUSTER = {"SERVICECTX_POSTGRES_BIN": "{postgres}"}


def in_memory() -> Case:
    case = _case(OURS)
    as_root = Contender(
        "servicectx, as this user",
        ("script:managed.py", "postgres"),
        variables={**OURS, "XDG_RUNTIME_DIR": "{base}/run-own", "XDG_CACHE_HOME": "{base}/cache-own"},
        privileged=True,
    )
    return case._replace(
        name="postgres",
        title="cold Postgres, data in memory, no client imported by servicectx and the floor",
        contenders=(*case.contenders, as_root),
    )


def on_disk() -> Case:
    return _case(ON_DISK)._replace(
        name="postgres-disk",
        title="cold Postgres, data on disk, no client imported by servicectx and the floor",
        file_system="disk",
    )


def _case(variables: dict[str, str]) -> Case:
    pg_ctl = "--postgresql-exec={postgres}/pg_ctl"
    return Case(
        name="",
        title="",
        stages=PROCESS,
        unprivileged=True,
        contenders=(
            Contender("servicectx", ("script:managed.py", "postgres"), variables=variables),
            Contender("floor: standard library only", ("script:postgres_floor.py",), {USABLE.name: Bar(2.0)}, CLUSTER),
            Contender("pgserver", ("script:postgres_pgserver.py",), {USABLE.name: Bar(0.35)}, needs="pgserver"),
            Contender(
                "pytest-postgresql",
                (*PYTEST, "-p", "pytest_postgresql.plugin", pg_ctl, "{scripts}/test_postgres_peer.py"),
                {USABLE.name: Bar(0.25)},
                needs="pytest_postgresql",
            ),
            Contender(
                "servicectx, first run (no cache)",
                ("script:managed.py", "postgres"),
                variables={**variables, "XDG_CACHE_HOME": "{work}/cache"},
            ),
        ),
    )
