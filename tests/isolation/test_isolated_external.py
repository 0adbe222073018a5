"""Isolated databases on an external Postgres: signed names, databases of dead or old owners, and rights."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from servicectx import NotIsolable, PostgresDetails, isolated, managed
from servicectx.isolation import owner_names

DAY = 86400


def run(details: PostgresDetails, *statements: Any) -> None:
    with psycopg.connect(details.url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def databases(details: PostgresDetails) -> set[str]:
    with psycopg.connect(details.url) as connection:
        return {str(row[0]) for row in connection.execute("select datname from pg_database where datname ~ '^s'")}


@pytest.fixture
def admin() -> Iterator[PostgresDetails]:
    with managed("postgres") as pg:
        yield pg


@pytest.fixture
def outside(admin: PostgresDetails) -> PostgresDetails:
    """The details of an ordinary user of an external server."""
    run(admin, "create role app login createdb password 'app'", "create database app owner app")
    return admin.model_copy(update={"user": "app", "password": "app", "dbname": "app", "external": True})


def seed(details: PostgresDetails) -> None:
    run(details, "create table seed (n int)")


def test_its_name_says_who_made_it_and_when(outside: PostgresDetails) -> None:
    with isolated(outside) as mine, psycopg.connect(mine.url) as connection:
        assert re.fullmatch(rf"sc_[a-z0-9]+_{os.getpid()}_[0-9a-f]{{18}}", mine.dbname)
        (now,) = connection.execute("select extract(epoch from now())::bigint").fetchone() or (0,)
        assert owner_names.age(mine.dbname, now + 100) in range(100, 130)
    assert databases(outside) == set()


def signed(made: int, *, host: str | None = None, pid: int | None = None) -> str:
    name = owner_names.new_name(made)
    if host:
        name = name.replace(owner_names.host(), host)
    return name if pid is None else name.replace(f"_{os.getpid()}_", f"_{pid}_")


def dead_pid() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_what_is_swept_and_what_is_not(outside: PostgresDetails) -> None:
    with psycopg.connect(outside.url) as connection:
        (now,) = connection.execute("select extract(epoch from now())::bigint").fetchone() or (0,)
    removed = {signed(now, pid=dead_pid()), signed(now - DAY - 60, host="elsewhere"), signed(now - DAY - 60)}
    stays = {
        signed(now),
        signed(now - DAY + 600, host="elsewhere"),
        signed(now + 10 * DAY, host="elsewhere"),  # from a wrong clock
        signed(0, host="elsewhere"),  # without a time
        "sc_mine",
        "sc_orders_2024",
        "scratch",
    }
    run(outside, *(sql.SQL("create database {}").format(sql.Identifier(name)) for name in removed | stays))
    with isolated(outside) as mine:
        assert databases(outside) == stays | {mine.dbname}


def test_what_is_kept_is_not_swept(outside: PostgresDetails) -> None:
    script = (
        "import sys; from servicectx import PostgresDetails, isolated\n"
        "with isolated(PostgresDetails.parse(sys.stdin.read()), keep=True) as mine: print(mine.dbname)"
    )
    raw = outside.model_dump_json()
    done = subprocess.run([sys.executable, "-c", script], input=raw, capture_output=True, text=True, timeout=60)
    name = done.stdout.strip()
    assert f"psql postgresql://app:app@127.0.0.1:{outside.port}/{name}" in done.stderr
    with isolated(outside):
        assert name in databases(outside)


def test_without_the_right_it_says_what_is_missing(admin: PostgresDetails, outside: PostgresDetails) -> None:
    run(admin, "alter role app nocreatedb")
    with pytest.raises(NotIsolable, match=r'permission denied.* ALTER ROLE "app" CREATEDB'):
        isolated(outside).__enter__()
    with pytest.raises(NotIsolable, match=r'permission denied.* ALTER ROLE "app" CREATEDB'):
        isolated(outside, setup=seed).__enter__()


USER = """
import os, signal, sys
from servicectx import PostgresDetails, isolated
from tests.isolation.test_isolated_external import seed_and_note
details = PostgresDetails.parse(sys.stdin.readline())
with isolated(details, setup=seed_and_note) as mine:
    print(mine.dbname, flush=True)
    for command in map(str.strip, sys.stdin):
        if command == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if command == "fork":
            if os.fork() == 0:
                sys.exit()  # runs the `with` blocks' ends, and exit hooks
            os.wait()
            print("the child has ended", flush=True)
        if command == "leave":
            break
"""


def seed_and_note(details: PostgresDetails) -> None:
    seed(details)
    with open(os.environ["LAYERS"], "a") as file:
        file.write("x")


class User:
    """A process that uses a template."""

    def __init__(self, details: PostgresDetails, notes: Path) -> None:
        environment = os.environ | {"LAYERS": str(notes)}
        command = [sys.executable, "-c", USER]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        self.send(details.model_dump_json())

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def name(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, how: str = "leave") -> None:
        self.process.communicate(f"{how}\n", timeout=30)


def templates(details: PostgresDetails) -> set[str]:
    return {name for name in databases(details) if name.startswith("servicectx_")}


def test_a_template_is_shared_and_goes_with_its_last_user(outside: PostgresDetails, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    users = [User(outside, notes) for _ in range(3)]
    assert len({user.name() for user in users}) == 3
    assert notes.read_text() == "x"
    assert len(templates(outside)) == 1
    for user in users[:2]:
        user.end()
    assert len(templates(outside)) == 1
    users[2].end()
    assert databases(outside) == set()
    one = User(outside, notes)
    assert one.name()
    assert notes.read_text() == "xx", "the code may have changed"
    one.end()


def test_what_killed_users_left_goes_with_the_next(outside: PostgresDetails, tmp_path: Path) -> None:
    killed = User(outside, tmp_path / "notes")
    name = killed.name()
    killed.end("die")
    assert {name} | templates(outside) == databases(outside)
    with isolated(outside, setup=seed) as mine:
        assert name not in databases(outside)
        assert len(templates(outside)) == 1
        assert databases(outside) == templates(outside) | {mine.dbname}


def test_a_forked_child_leaves_its_parent_s_template_alone(outside: PostgresDetails, tmp_path: Path) -> None:
    user = User(outside, tmp_path / "notes")
    name = user.name()
    user.send("fork")
    assert user.name() == "the child has ended"
    assert databases(outside) == templates(outside) | {name}
    assert len(templates(outside)) == 1
    user.end()
    assert databases(outside) == set()


def test_a_lost_connection_is_made_anew(admin: PostgresDetails, outside: PostgresDetails) -> None:
    for _ in range(3):
        with isolated(outside, setup=seed) as mine:
            run(mine, "select * from seed")
        end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'"
        run(admin, end)


def test_a_set_up_may_ask_for_templates(outside: PostgresDetails) -> None:
    def nest(details: PostgresDetails) -> None:
        with isolated(outside, setup=seed) as other:
            run(other, "select * from seed")
        run(details, "create table nest (n int)")

    def ask() -> None:
        with isolated(outside, setup=nest) as mine:
            run(mine, "select * from nest")
            done.set()

    done = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    assert done.wait(30)


def test_a_set_up_that_takes_long_is_in_nobody_s_way(outside: PostgresDetails) -> None:
    begun, end = threading.Event(), threading.Event()

    def slow(details: PostgresDetails) -> None:
        begun.set()
        end.wait(60)

    def ask(setup: Any) -> str:
        with isolated(outside, setup=setup) as mine:
            return mine.dbname

    with ThreadPoolExecutor(2) as threads:
        try:
            first = threads.submit(ask, slow)
            assert begun.wait(30)
            assert threads.submit(ask, seed).result(30)
            assert not first.done()
        finally:
            end.set()
        assert first.result(30)


def test_threads_share_a_template(outside: PostgresDetails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERS", str(tmp_path / "notes"))

    def ask(_: int) -> None:
        with isolated(outside, setup=seed_and_note) as mine:
            run(mine, "select * from seed")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, range(4), timeout=60))
    assert (tmp_path / "notes").read_text() == "x"


NESTED = """
import sys
from servicectx import PostgresDetails, isolated
from tests.isolation.test_isolated_external import seed, templates
details = PostgresDetails.parse(sys.stdin.readline())
with isolated(details) as outer, isolated(outer, setup=seed) as inner:
    print(len(templates(details)))
"""


@pytest.mark.parametrize("closed", [False, True])
def test_a_template_asked_for_inside_goes_with_its_last_user(
    admin: PostgresDetails, outside: PostgresDetails, closed: bool
) -> None:
    if closed:
        run(admin, "revoke connect on database postgres from public")
    raw = outside.model_dump_json() + "\n"
    command = [sys.executable, "-c", NESTED]
    done = subprocess.run(command, input=raw, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert done.stdout == "1\n", done.stderr
    assert databases(outside) == set()


def test_a_template_whose_locks_are_gone_goes_with_the_next(
    admin: PostgresDetails, outside: PostgresDetails, tmp_path: Path
) -> None:
    run(admin, "revoke connect on database postgres from public")
    with isolated(outside) as short_lived:
        user = User(short_lived, tmp_path / "notes")  # its details name only this database
        assert user.name()
        (left,) = templates(outside)
    user.end()
    assert templates(outside) == {left}
    with isolated(outside, setup=seed):
        assert left not in templates(outside)


def test_async(outside: PostgresDetails) -> None:
    async def seed_later(details: PostgresDetails) -> None:
        seed(details)

    async def use() -> None:
        async with isolated(outside) as empty, isolated(outside, setup=seed_later) as mine:
            run(mine, "select * from seed")
            assert {empty.dbname, mine.dbname} < databases(outside)
            with pytest.raises(psycopg.errors.UndefinedTable):
                run(empty, "select * from seed")

    asyncio.run(use())
    assert databases(outside) == templates(outside)
