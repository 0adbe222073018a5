"""Cold Redis: alone and under pytest."""

from benchmarks.case import Bar, Case, Contender
from benchmarks.cases.stages import GONE, OURS, PROCESS, PYTEST, USABLE

MIRAKURU = "mirakuru TCPExecutor"
WITH_CLIENT = "servicectx and redis-py"


def alone() -> Case:
    return Case(
        name="redis",
        title="cold Redis, no client imported",
        stages=PROCESS,
        contenders=(
            Contender("servicectx", ("script:managed.py", "redis"), OURS),
            Contender(MIRAKURU, ("script:redis_mirakuru.py", "{redis}")),
            Contender("floor: standard library only", ("script:redis_floor.py", "{redis}")),
        ),
        bars=(
            Bar(USABLE.name, "servicectx", MIRAKURU, 0.9),
            Bar(GONE.name, "servicectx", MIRAKURU, 0.5),
        ),
    )


def under_pytest() -> Case:
    return Case(
        name="redis-pytest",
        title="cold Redis under pytest, one test; pytest-redis requires redis-py, servicectx does not",
        stages=(USABLE, GONE),
        contenders=(
            Contender("servicectx", (*PYTEST, "{scripts}/test_redis_details.py"), OURS),
            Contender(
                "pytest-redis",
                (*PYTEST, "-p", "pytest_redis", "--redis-exec={redis}", "{scripts}/test_redis_peer.py"),
                needs="pytest_redis",
            ),
            Contender(WITH_CLIENT, (*PYTEST, "{scripts}/test_redis_client.py"), OURS),
        ),
        bars=(
            Bar(USABLE.name, "servicectx", "pytest-redis", 0.75),
            Bar(USABLE.name, WITH_CLIENT, "pytest-redis", 0.8),
        ),
    )
