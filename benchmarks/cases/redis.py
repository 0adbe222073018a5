"""Cold Redis: alone and under pytest."""

from benchmarks.case import Bar, Case, Contender
from benchmarks.cases.stages import GONE, LEFT, OURS, PROCESS, PYTEST, USABLE


def alone() -> Case:
    return Case(
        name="redis",
        title="cold Redis, no client imported",
        stages=PROCESS,
        contenders=(
            Contender("servicectx", ("script:managed.py", "redis"), variables=OURS),
            Contender(
                "mirakuru TCPExecutor",
                ("script:redis_mirakuru.py", "{redis}"),
                {USABLE.name: Bar(1.2), LEFT.name: Bar(0.5), GONE.name: Bar(0.5)},
            ),
            Contender("floor: standard library only", ("script:redis_floor.py", "{redis}")),
        ),
    )


def under_pytest() -> Case:
    return Case(
        name="redis-pytest",
        title="cold Redis under pytest, one test; pytest-redis requires redis-py, servicectx does not",
        stages=(USABLE, GONE),
        contenders=(
            Contender("servicectx", (*PYTEST, "{scripts}/test_redis_details.py"), variables=OURS),
            Contender(
                "pytest-redis",
                (*PYTEST, "-p", "pytest_redis", "--redis-exec={redis}", "{scripts}/test_redis_peer.py"),
                {USABLE.name: Bar(0.75)},
                needs="pytest_redis",
            ),
            Contender("servicectx and redis-py", (*PYTEST, "{scripts}/test_redis_client.py"), variables=OURS),
        ),
    )
