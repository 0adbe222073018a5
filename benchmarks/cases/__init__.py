"""The cases, by name. A case is built on its first use."""

from collections.abc import Callable

from benchmarks.case import Case
from benchmarks.cases import imports, isolation, postgres, redis, sharing, snapshots

CASES: dict[str, Callable[[], Case]] = {
    "redis": redis.alone,
    "redis-pytest": redis.under_pytest,
    "postgres": postgres.in_memory,
    "postgres-disk": postgres.on_disk,
    "snapshot": snapshots.in_memory,
    "snapshot-disk": snapshots.on_disk,
    "spare": snapshots.spare,
    "isolated": isolation.in_memory,
    "isolated-disk": isolation.on_disk,
    "isolated-installed": isolation.as_installed,
    "isolated-suite": isolation.suite,
    "isolated-ask": isolation.asking,
    "join": sharing.join,
    "join-postgres": sharing.join_postgres,
    "crowd": sharing.crowd,
    "crowd-postgres": sharing.crowd_postgres,
    "import": imports.library,
    "idle-plugin": imports.plugin,
}
