"""Type checkers and editors know the arguments of `managed()` and the details of each service."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

TYPED = """
from contextlib import ExitStack
from typing import Any, assert_type

import servicectx
from servicectx import (
    CommandDetails, Managed, Plan, PostgresDetails, RedisDetails, Service, ServiceDetails, isolated, managed,
)

assert_type(managed("postgres"), Managed[PostgresDetails])
assert_type(managed("postgresql", name="orders", settings={"jit": "off"}), Managed[PostgresDetails])
assert_type(managed("redis", linger=300), Managed[RedisDetails])
assert_type(managed("valkey"), Managed[RedisDetails])
assert_type(managed("command", command=["true"]), Managed[CommandDetails])
assert_type(managed("from-another-package"), Managed[Any])


class MineDetails(ServiceDetails):
    token: str = ""


class Mine(Service[MineDetails]):
    name = "mine"
    Details = MineDetails

    def plan(self, options: Any, program: str, secret: str) -> Plan:
        return Plan(service="mine", command=[program], environment={}, ready={"kind": "tcp"})


assert_type(managed(Mine), Managed[MineDetails])
assert_type(managed(Mine()), Managed[MineDetails])

with managed("postgres") as pg, isolated(pg) as db:
    assert_type(pg, PostgresDetails)
    assert_type(db, PostgresDetails)
    assert_type(pg.url, str)
    assert_type(pg.port, int)
    assert_type(pg.env(), dict[str, str])

service = managed(Mine)
with service as mine:
    assert_type(mine.token, str)
assert_type(service.took, float)
assert_type(service.details, MineDetails | None)


async def asynchronous() -> None:
    async with managed("redis") as redis:
        assert_type(redis, RedisDetails)


with ExitStack() as stack:
    assert_type(stack.enter_context(managed("redis")), RedisDetails)

assert_type(PostgresDetails.read("file"), PostgresDetails)
assert_type(servicectx.__version__, str)
"""


def mypy(folder: Path, program: str) -> "subprocess.CompletedProcess[str]":
    (folder / "typed.py").write_text(program)
    (folder / "mypy.ini").write_text(
        f"[mypy]\nstrict = True\nmypy_path = {ROOT}\n[mypy-servicectx.*]\nfollow_imports = silent\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", folder / "cache", "typed.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_type_checkers_know_what_is_given(tmp_path: Path) -> None:
    done = mypy(tmp_path, TYPED)
    assert done.returncode == 0, done.stdout + done.stderr


WRONG = [
    'managed("postgres", lingr=3)',
    'managed("postgres", linger=[3])',
    'managed("redis", setup=3)',
    'managed("redis", keep_data="always")',
    'managed("postgres", dbnam="shop")',
    'managed("postgres", settings=3)',
    'managed("command", command=3)',
    'managed("mqtt", server="hivemq")',
    'managed("s3", storage=True)',
    'managed("nats").details.no_such_field',
    'managed("orders", lingr=3)',
    'managed("orders", timeout=[])',
]


def test_type_checkers_refuse_a_wrong_argument(tmp_path: Path) -> None:
    """Each line is an error of its own."""
    done = mypy(tmp_path, "\n".join(["from servicectx import managed", *WRONG]))
    lines = done.stdout.splitlines()
    for number, code in enumerate(WRONG, 2):
        errors = [line for line in lines if line.startswith(f"typed.py:{number}: error:")]
        assert errors, f"{code} passes\n{done.stdout}"
