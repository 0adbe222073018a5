"""Isolated namespaces: fresh, private and removed afterwards; with set-ups on top, each run once."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from psycopg import sql

from servicectx import InvalidOption, NotIsolable, PostgresDetails, RedisDetails, SetupFailed, isolated, managed
from servicectx.services.postgres.databases import Databases
from tests.actor import Actor
from tests.detector import Home, wait_for

runs: list[str] = []


def run(details: PostgresDetails, *statements: Any) -> None:
    with psycopg.connect(details.url) as connection:
        for statement in statements:
            connection.execute(statement)


def rows(details: PostgresDetails, query: Any) -> list[Any]:
    with psycopg.connect(details.url) as connection:
        return [row[0] for row in connection.execute(query)]


def databases(details: PostgresDetails) -> set[str]:
    return set(rows(details, "select datname from pg_database"))


def templates(details: PostgresDetails) -> set[str]:
    """The templates with a set-up on top, without the base template and the empty clones for recycling."""
    others = ("servicectx_template", "servicectx_shell_")
    return {name for name in databases(details) if name.startswith("servicectx_") and not name.startswith(others)}


def schema(details: PostgresDetails) -> None:
    runs.append("schema")
    run(details, "create table things (name text)")


def seed(details: PostgresDetails) -> None:
    runs.append("seed")
    run(details, "insert into things values ('seeded')")


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    runs.clear()


@pytest.fixture
def pg() -> Iterator[PostgresDetails]:
    with managed("postgres", setup=schema) as details:
        yield details


def all_gone(details: PostgresDetails, *names: str) -> None:
    wait_for(lambda: not databases(details) & set(names), 5, lambda: f"{databases(details)}")


# -- one ----------------------------------------------------------------------------------------------------------


def test_it_is_the_state_right_after_the_set_up(pg: PostgresDetails) -> None:
    run(pg, "insert into things values ('later')")
    for _ in range(3):
        with isolated(pg) as mine:
            assert rows(mine, "select name from things") == []
            run(mine, "insert into things values ('mine')")
    assert rows(pg, "select name from things") == ["later"]
    assert runs == ["schema"]


def test_each_has_its_own_and_it_is_dropped_with_clients_connected(pg: PostgresDetails) -> None:
    with isolated(pg) as one, isolated(pg) as two:
        assert len({pg.dbname, one.dbname, two.dbname}) == 3
        run(one, "insert into things values ('one')")
        assert rows(two, "select name from things") == []
        client = psycopg.connect(one.url)
    all_gone(pg, one.dbname, two.dbname)
    with pytest.raises(psycopg.OperationalError):
        client.execute("select 1")
    client.close()


def test_the_object_works_again_but_not_twice_at_once(pg: PostgresDetails) -> None:
    isolating = isolated(pg)
    with isolating as first, pytest.raises(RuntimeError, match="entered already"):
        isolating.__enter__()
    with isolating as second:
        assert second.dbname != first.dbname
    isolating.__exit__()
    all_gone(pg, first.dbname, second.dbname)


def test_asynchronously(pg: PostgresDetails) -> None:
    async def seed_slowly(details: PostgresDetails) -> None:
        await asyncio.sleep(0)
        seed(details)

    async def use() -> list[str]:
        async with isolated(pg) as one, isolated(pg, setup=seed_slowly) as two:
            assert rows(one, "select name from things") == []
            assert rows(two, "select name from things") == ["seeded"]
            return [one.dbname, two.dbname]

    all_gone(pg, *asyncio.run(use()))


def test_a_cancelled_task_leaves_nothing(pg: PostgresDetails) -> None:
    async def use() -> None:
        async with isolated(pg):
            raise AssertionError("it was cancelled")

    async def cancel() -> None:
        task = asyncio.create_task(use())
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = databases(pg)
    asyncio.run(cancel())
    with managed("postgres", setup=schema):  # prefetched databases belong to the pool
        wait_for(lambda: not taken(before, pg), 5)


def taken(before: set[str], details: PostgresDetails) -> list[str]:
    """The used databases, by the pool's own files."""
    home = Path(os.environ["SERVICECTX_HOME"])
    taken = home.glob("servicectx-home/postgres-*.*/pool/taken/*")
    return [path.name for path in taken if path.name.partition("-")[0] not in before]


def test_one_that_is_being_made_is_dropped_with_its_making() -> None:
    """After the death of its user during CREATE DATABASE the server would finish a database without an owner."""
    with managed("postgres") as pg:
        server = Databases.of(pg)
        in_the_way = psycopg.connect(pg.model_copy(update={"dbname": "template1"}).url)

        def make() -> None:
            with contextlib.suppress(EOFError, NotIsolable):
                server.open("sc_half", lambda _: "template1")

        making = threading.Thread(target=make)
        making.start()
        active = "select count(*) from pg_stat_activity where query like 'CREATE DATABASE%' and state = 'active'"
        wait_for(lambda: rows(pg, active) == [1], 5)
        server.close("sc_half")
        in_the_way.close()
        making.join(10)
        assert not making.is_alive()
        assert "sc_half" not in databases(pg)


# -- set-ups on top -------------------------------------------------------------------------------------------------


def test_a_set_up_runs_once_and_each_gets_a_copy(pg: PostgresDetails) -> None:
    for _ in range(3):
        with isolated(pg, setup=seed) as mine:
            assert rows(mine, "select name from things") == ["seeded"]
            run(mine, "delete from things")
        with isolated(pg) as other:
            assert rows(other, "select name from things") == []
    assert runs == ["schema", "seed"]


def test_set_ups_stack_and_share_what_they_have_in_common() -> None:
    def double(details: PostgresDetails) -> None:
        runs.append("double")
        run(details, "insert into things select name || ' twice' from things")

    with managed("postgres") as pg:
        with isolated(pg, setup=(schema, seed, double)) as mine:
            assert rows(mine, "select name from things order by 1") == ["seeded", "seeded twice"]
        with isolated(pg, setup=[schema, seed]) as mine:
            assert rows(mine, "select name from things") == ["seeded"]
        with isolated(pg, setup=schema) as mine:
            assert rows(mine, "select name from things") == []
    assert runs == ["schema", "seed", "double"]


def test_files_are_known_by_their_content(pg: PostgresDetails, tmp_path: Path) -> None:
    file = tmp_path / "seed.sql"
    for name in ("one", "two", "one"):
        file.write_text(f"insert into things values ('{name}');")
        with isolated(pg, setup=file) as mine:
            assert rows(mine, "select name from things") == [name]
        with isolated(pg, setup=[str(file), file]) as mine:
            assert rows(mine, "select name from things") == [name, name]
    layers = templates(pg)
    assert len(layers) == 4


class Seeder:
    def __init__(self, name: str) -> None:
        self.name = name

    def seed(self, details: PostgresDetails) -> None:
        runs.append(self.name)
        run(details, f"insert into things values ('{self.name}')")

    __call__ = seed


@pytest.mark.parametrize("make", [Seeder, lambda name: Seeder(name).seed])
def test_objects_are_known_by_their_state(make: Any, pg: PostgresDetails) -> None:
    for name in ("one", "two", "one"):
        with isolated(pg, setup=make(name)) as mine:
            assert rows(mine, "select name from things") == [name]
    assert runs == ["schema", "one", "two"]


def test_a_function_whose_code_changed_runs_again(pg: PostgresDetails) -> None:
    for name in ("one", "two", "one"):
        module: dict[str, Any] = {"__name__": "migration", "run": run}
        exec(f"def seed(details):\n    run(details, \"insert into things values ('{name}')\")", module)
        with isolated(pg, setup=module["seed"]) as mine:
            assert rows(mine, "select name from things") == [name]
    layers = templates(pg)
    assert len(layers) == 2


def test_a_set_up_that_is_no_set_up(pg: PostgresDetails) -> None:
    with pytest.raises(InvalidOption, match=r"nowhere\.sql is not a file"):
        isolated(pg, setup="nowhere.sql")


def test_a_failing_set_up_leaves_nothing_and_the_next_may_try(pg: PostgresDetails) -> None:
    fails = True

    def fail(details: PostgresDetails) -> None:
        run(details, "insert into things values ('half')")
        if fails:
            raise LookupError("no luck")

    before = databases(pg)
    for _ in range(2):
        with pytest.raises(SetupFailed, match="no luck") as caught, isolated(pg, setup=(seed, fail)):
            pass
        assert "fail" in caught.value.setup
        assert isinstance(caught.value.__cause__, LookupError)
    wait_for(lambda: len(databases(pg) - before) == 1, 5, lambda: str(databases(pg) - before))
    fails = False
    with isolated(pg, setup=(seed, fail)) as mine:
        assert rows(mine, "select name from things") == ["seeded", "half"]
    assert runs == ["schema", "seed"]


def test_a_set_up_that_leaves_a_connection_open_says_so(pg: PostgresDetails) -> None:
    left: list[Any] = []

    def leave(details: PostgresDetails) -> None:
        left.append(psycopg.connect(details.url))

    before = databases(pg)
    with pytest.raises(NotIsolable, match=r"leave.* left connections open; close them .*dispose"):
        isolated(pg, setup=leave).__enter__()
    wait_for(lambda: databases(pg) == before, 5)
    left[0].close()


def test_a_managed_set_up_that_leaves_a_connection_open_says_so() -> None:
    left: list[Any] = []

    def leave(details: PostgresDetails) -> None:
        left.append(psycopg.connect(details.url))

    with managed("postgres", setup=leave) as pg:
        with pytest.raises(NotIsolable, match=r"left connections open, so no template could be kept; close them"):
            isolated(pg).__enter__()
        left[0].close()


def test_services_without_templates_run_it_each_time() -> None:
    def fill(details: RedisDetails) -> None:
        runs.append(str(details.db))
        with redis.Redis.from_url(details.url) as client:
            client.set("seed", "kept")

    def fail(details: RedisDetails) -> None:
        raise LookupError

    with managed("redis") as details:
        for _ in range(2):
            with isolated(details, setup=[fill]) as mine, redis.Redis.from_url(mine.url) as client:
                assert client.get("seed") == b"kept"
        assert len(runs) == 2
        with pytest.raises(SetupFailed):
            isolated(details, setup=(fill, fail)).__enter__()
        with redis.Redis.from_url(details.url) as client:
            assert set(client.info("keyspace")) <= {"db1023"}
            assert [key for db in [1023] for key in client.execute_command("SELECT", db) and client.keys()] == []


def test_a_forked_child_neither_has_nor_drops_it(users: list[Actor]) -> None:
    user, other, *_ = users
    mine = user.ask("isolate")
    assert user.ask("fork")["status"] == 0
    for _ in range(3):
        other.ask("isolate")
        other.ask("give_back")
    with psycopg.connect(mine["url"]) as connection:
        connection.execute("create table mine (n int)")
    child = user.ask("fork_and_stay")["child"]
    try:
        user.kill()
        with psycopg.connect(other.ask("isolate")["url"]) as connection:
            left = sql.SQL("select datname from pg_database where datname = {}").format(mine["dbname"])
            wait_for(lambda: connection.execute(left).fetchone() is None, 5)
    finally:
        os.kill(child, signal.SIGKILL)


# -- set-ups on top, by many processes ------------------------------------------------------------------------------


@pytest.fixture
def place() -> Iterator[Home]:
    place = Home()
    yield place
    place.remove()


@pytest.fixture
def users(place: Home, tmp_path: Path) -> Iterator[list[Actor]]:
    actors = [Actor(place, LAYERS=str(tmp_path / "layers")) for _ in range(4)]
    for actor in actors:
        actor.enter("postgres")
    yield actors
    for actor in actors:
        actor.kill()


def test_many_at_once_make_a_template_once(users: list[Actor], tmp_path: Path) -> None:
    for user in users:
        user.send("isolate", arguments={"setup": ["note_layer"]})
    answers = [user.hear(20) for user in users]
    assert not [answer for answer in answers if "error" in answer]
    assert len({answer["dbname"] for answer in answers}) == 4
    assert (tmp_path / "layers").read_text() == "x"
    for answer in answers:
        with psycopg.connect(str(answer["url"])) as connection:
            assert len(connection.execute("select * from layer").fetchall()) == 1


def test_others_wait_for_the_maker_and_go_on_where_it_dies(users: list[Actor], tmp_path: Path) -> None:
    maker, waiter, *_ = users
    maker.send("isolate", arguments={"setup": ["slow_layer"]})
    waits = tmp_path / "layers.waits"
    wait_for(waits.exists, 10)
    waiter.send("isolate", arguments={"setup": ["slow_layer"]})
    with pytest.raises(AssertionError, match="no answer"):
        waiter.hear(0.5)
    waits.unlink()
    maker.kill()
    wait_for(waits.exists, 10, lambda: "the waiter did not take over")
    waits.unlink()
    answer = waiter.hear()
    assert (tmp_path / "layers").read_text() == "xx"
    with psycopg.connect(str(answer["url"])) as connection:
        assert connection.execute("select pid from layer").fetchall() == [(waiter.process.pid,)]
        signed = "select datname from pg_database where datname ~ '^sc_.*_'"
        assert connection.execute(signed).fetchall() == [], "the unfinished template of the dead process was removed"


def test_a_killed_maker_leaves_nothing_that_is_taken_for_complete(place: Home, tmp_path: Path) -> None:
    layers = str(tmp_path / "layers")
    with Actor(place, LAYERS=layers, pause_at="set-up-done") as maker, Actor(place, LAYERS=layers) as other:
        maker.enter("postgres")
        other.enter("postgres")
        maker.send("isolate", arguments={"setup": ["note_layer"]})
        maker.wait_paused()
        maker.kill()
        answer = other.ask("isolate", arguments={"setup": ["note_layer"]})
        assert Path(layers).read_text() == "xx"
        with psycopg.connect(answer["url"]) as connection:
            assert connection.execute("select pid from layer").fetchall() == [(other.process.pid,)]
        other.ask("give_back")
        other.leave()
        place.wait_until_empty(2)


def test_what_a_killed_maker_left_goes_though_nobody_asks_again(place: Home, tmp_path: Path) -> None:
    layers = str(tmp_path / "layers")
    with Actor(place, LAYERS=layers, pause_at="set-up-done") as maker, Actor(place, LAYERS=layers) as other:
        url = str(maker.enter("postgres")["url"])
        other.enter("postgres")
        maker.send("isolate", arguments={"setup": ["note_layer"]})
        maker.wait_paused()
        with psycopg.connect(url, autocommit=True) as connection:
            halves = "select count(*) from pg_database where datname ~ '_half$'"
            assert connection.execute(halves).fetchone() == (1,)
            maker.kill()
            wait_for(lambda: connection.execute(halves).fetchone() == (0,), 5)
        other.leave()
        place.wait_until_empty(2)
