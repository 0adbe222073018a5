"""Joining and leaving a running instance: alone and in a crowd."""

from benchmarks.case import Bar, Case, Contender, Stage
from benchmarks.cases.stages import OURS

FLOOR = "floor: lock, read JSON, ping"
LIMIT = 2.5


def join() -> Case:
    return _join("redis")


def join_postgres() -> Case:
    return _join("postgres")._replace(name="join-postgres", unprivileged=True)


def crowd() -> Case:
    return _crowd("redis")


def crowd_postgres() -> Case:
    return _crowd("postgres")._replace(name="crowd-postgres", unprivileged=True)


def _join(service: str) -> Case:
    join, leave = Stage("join", "requested", "joined"), Stage("leave, others stay", "leaving", "left")
    return Case(
        name="join",
        title=f"one process joins a running {service}, its imports done",
        stages=(join, leave),
        contenders=_contenders(service, 1),
        bars=(Bar(join.name, "servicectx", FLOOR, LIMIT),),
    )


def _crowd(service: str) -> Case:
    join = Stage("first request until last has details", "requested", "joined")
    leave = Stage("first leaves until last has left", "leaving", "left")
    return Case(
        name="crowd",
        title=f"64 processes join a running {service} at once, and leave it at once",
        stages=(join, leave),
        contenders=_contenders(service, 64),
        bars=tuple(Bar(stage.name, "servicectx", FLOOR, LIMIT) for stage in (join, leave)),
    )


def _contenders(service: str, processes: int) -> tuple[Contender, ...]:
    variables = OURS | {"BENCH_CROWD": str(processes)}
    return (
        Contender("servicectx", ("script:crowd.py", service), variables),
        Contender(FLOOR, ("script:crowd.py", service, "floor"), variables),
    )
