"""Cold Postgres, with all data in memory, and with all data on disk."""

from benchmarks.case import Bar, Case, Contender
from benchmarks.cases.stages import CLUSTER, ON_DISK, OURS, PROCESS, PYTEST, USABLE

FLOOR = "floor: standard library only"
TITLE = "no client imported by servicectx and the floor"


def in_memory() -> Case:
    case = _case(OURS, floor=2.0)
    own = Contender("servicectx, as this user", ("script:managed.py", "postgres"), OURS, privileged=True)
    return case._replace(
        name="postgres",
        title=f"cold Postgres, data in memory, {TITLE}",
        contenders=(*case.contenders, own),
    )


def on_disk() -> Case:
    title = f"cold Postgres, data on disk, {TITLE}"
    return _case(ON_DISK, floor=1.2)._replace(name="postgres-disk", title=title, file_system="disk")


def _case(variables: dict[str, str], floor: float) -> Case:
    pg_ctl = "--postgresql-exec={postgres}/pg_ctl"
    no_cache = {**variables, "XDG_CACHE_HOME": "{work}/cache"}
    return Case(
        name="",
        title="",
        stages=PROCESS,
        unprivileged=True,
        contenders=(
            Contender("servicectx", ("script:managed.py", "postgres"), variables),
            Contender(FLOOR, ("script:postgres_floor.py",), CLUSTER),
            Contender("pgserver", ("script:postgres_pgserver.py",), needs="pgserver"),
            Contender(
                "pytest-postgresql",
                (*PYTEST, "-p", "pytest_postgresql.plugin", pg_ctl, "{scripts}/test_postgres_peer.py"),
                needs="pytest_postgresql",
            ),
            Contender("servicectx, first run (no cache)", ("script:managed.py", "postgres"), no_cache),
        ),
        bars=(
            Bar(USABLE.name, "servicectx", FLOOR, floor),
            Bar(USABLE.name, "servicectx", "pgserver", 0.3),
            Bar(USABLE.name, "servicectx", "pytest-postgresql", 0.2),
        ),
    )
