"""Prefetched namespaces: no wait, no two users share one, and a SIGKILL at any step leaves nothing."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from servicectx import isolated, managed
from servicectx.isolation import pool_sizer
from servicectx.isolation.pool import BASE, MAX_BACKLOG, RETURNED, Pool
from servicectx.system import originals
from tests.actor import Actor
from tests.detector import BUSY, Home, wait_for

USER_STEPS = ["pool-claiming", "pool-claimed", "pool-opening", "shell-making", "pool-opened"]
PREFETCHER_STEPS = ["pool-making", "pool-made", "pool-dropping"]
RECYCLING = ["pool-recycling", "recycle-parked", "recycle-dropped", "recycle-created"]


@pytest.fixture
def place() -> Iterator[Home]:
    place = Home()
    yield place
    place.remove()


@pytest.fixture
def first(place: Home) -> Iterator[Actor]:
    """The user that started the instance, and holds it."""
    with Actor(place) as actor:
        actor.enter("postgres")
        yield actor


def pool_of(place: Home) -> Pool:
    (directory,) = place.own.glob("postgres-*.*/pool")
    return Pool(directory.parent)


def names(pool: Pool) -> tuple[set[str], set[str]]:
    """The ready and the taken names, by the pool's files."""
    ready = {path.name for path in pool.ready.glob("*/*")}
    return ready, {path.name.rpartition("-")[0] for path in pool.taken.iterdir()}


def databases(url: str) -> set[str]:
    """The databases for users, by the server's catalog."""
    with psycopg.connect(url) as connection:
        found = connection.execute(r"select datname from pg_database where datname ~ '^sc_|_half$'").fetchall()
    return {str(row[0]) for row in found}


def settled(place: Home, url: str, *held: str) -> None:
    """Wait until the server has exactly the ready databases and the ones that users hold."""
    pool = pool_of(place)

    def agree() -> bool:
        ready, taken = names(pool)
        coming = list(pool.making.glob("*/*"))
        return not coming and taken == set(held) and databases(url) == ready | taken and len(ready) >= 1

    wait_for(agree, 10, lambda: f"held {held}, in the pool {names(pool)}, on the server {databases(url)}")
    assert list(place.path.glob("**/data.*")) == [], "no parked files are left"


def warm(place: Home, user: Actor, source: str = BASE) -> None:
    """Isolate once, and wait until some databases are ready."""
    user.ask("isolate")
    user.ask("give_back")
    wait_for(lambda: pool_of(place).count(source) >= pool_sizer.FIRST, 10)


# -- demand and supply -------------------------------------------------------------------------------------------------


def test_it_is_not_there_before_the_first_demand(place: Home, first: Actor) -> None:
    time.sleep(0.3)
    assert place.pools() == []
    url = str(first.ask("details")["url"])
    assert databases(url) == set()
    first.ask("isolate")
    wait_for(place.pools, 5)


def test_asking_costs_no_connection(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was made")

    with managed("postgres") as pg:
        with isolated(pg):
            pass
        (directory,) = home.glob("servicectx-home/postgres-*.*/pool")
        pool = Pool(directory.parent)
        wait_for(lambda: pool.count(BASE) >= pool_sizer.FIRST, 10)
        monkeypatch.setattr(originals.socket, "create_connection", refuse)
        with isolated(pg) as mine:
            monkeypatch.undo()
            assert mine.dbname


def test_what_is_handed_out_is_fresh_and_can_be_used(place: Home, first: Actor) -> None:
    seen = set()
    for _ in range(8):
        warm(place, first)
        mine = first.ask("isolate")
        seen.add(mine["dbname"])
        with psycopg.connect(mine["url"]) as connection:
            assert connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone() == (0,)
            connection.execute("create table mark (pid int)")
        first.ask("give_back")
    assert len(seen) == 8
    settled(place, str(first.ask("details")["url"]))


def test_layers_have_pools_of_their_own(place: Home, tmp_path: Path) -> None:
    with Actor(place, LAYERS=str(tmp_path / "layers")) as user:
        user.enter("postgres")
        for _ in range(6):
            mine = user.ask("isolate", arguments={"setup": ["note_layer"]})
            source = next(path.name for path in pool_of(place).ready.iterdir()) if _ else ""
            with psycopg.connect(mine["url"]) as connection:
                assert len(connection.execute("select * from layer").fetchall()) == 1
            user.ask("give_back")
            wait_for(lambda: any(pool_of(place).ready.glob("servicectx_*/*")), 10)
        assert source.startswith("servicectx_")
        assert (tmp_path / "layers").read_text() == "x"


def test_many_users_want_many(place: Home, first: Actor) -> None:
    users = [Actor(place) for _ in range(4)]
    try:
        for user in users:
            user.enter("postgres")
            user.ask("isolate")
        wait_for(lambda: pool_of(place).count(BASE) >= len(users), 10)
        assert pool_of(place).count(BASE) <= pool_sizer.MOST
        settled(place, str(first.ask("details")["url"]), *names(pool_of(place))[1])
    finally:
        for user in users:
            user.kill()
    settled(place, str(first.ask("details")["url"]))


# -- SIGKILL -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", USER_STEPS)
def test_user_killed(place: Home, first: Actor, step: str, tmp_path: Path) -> None:
    url = str(first.ask("details")["url"])
    if "claim" in step:
        warm(place, first)
    with Actor(place, pause_at=step, LAYERS=str(tmp_path / "layers")) as user:
        user.enter("postgres")
        user.send("isolate", arguments={"setup": ["note_layer"]} if step == "shell-making" else {})
        assert user.wait_paused() == user.process.pid
        mine = first.ask("isolate")
        user.kill()
    settled(place, url, mine["dbname"])
    with psycopg.connect(mine["url"]) as connection:
        connection.execute("create table mark (n int)")
    first.ask("give_back")
    settled(place, url)
    first.leave()
    place.wait_until_empty(2)


def test_user_killed_in_use(place: Home, first: Actor) -> None:
    url = str(first.ask("details")["url"])
    users = [Actor(place) for _ in range(3)]
    for user in users:
        user.enter("postgres")
        with psycopg.connect(user.ask("isolate")["url"]) as connection:
            connection.execute("create table mark (n int)")
    for user in users:
        user.kill()
    settled(place, url)


@pytest.mark.parametrize("step", RECYCLING)
def test_user_killed_while_making_one_out_of_another(place: Home, first: Actor, step: str) -> None:
    warm(place, first)
    url = str(first.ask("details")["url"])
    (prefetcher,) = place.pools()
    prefetcher.suspend()
    held = take_all(place, first)
    first.ask("give_back")
    held.pop()
    with Actor(place, pause_at=step) as user:
        user.enter("postgres")
        user.send("isolate")
        assert user.wait_paused() == user.process.pid
        user.kill()
    prefetcher.resume()
    settled(place, url, *held)
    mine = first.ask("isolate")
    with psycopg.connect(mine["url"]) as connection:
        connection.execute("create table mark (n int)")


def take_all(place: Home, user: Actor) -> list[str]:
    taken = []
    while names(pool_of(place))[0]:
        taken.append(user.ask("isolate")["dbname"])
    return taken


def test_one_that_was_given_back_is_made_anew_by_who_asks(place: Home, first: Actor) -> None:
    warm(place, first)
    (prefetcher,) = place.pools()
    prefetcher.suspend()
    take_all(place, first)
    url = str(first.ask("details")["url"])
    there = len(databases(url))
    for _ in range(3):
        first.ask("give_back")
        mine = first.ask("isolate")
        with psycopg.connect(mine["url"]) as connection:
            connection.execute("create table mark (n int)")
        assert len(databases(url)) == there
    prefetcher.resume()


def folder_of(url: str) -> Path:
    with psycopg.connect(url) as connection:
        sql = "select current_setting('data_directory'), oid from pg_database where datname = current_database()"
        row = connection.execute(sql).fetchone()
        assert row is not None
        return Path(str(row[0]), "base", str(row[1]))


@pytest.mark.parametrize("step", PREFETCHER_STEPS + RECYCLING)
def test_helper_killed(place: Home, step: str) -> None:
    with Actor(place, pause_at=step) as user, Actor(place) as other:
        url = str(user.enter("postgres")["url"])
        other.enter("postgres")
        mine = other.ask("isolate")
        if step not in ("pool-making", "pool-made"):
            wait_for(lambda: pool_of(place).count(BASE), 10)  # databases from before the prefetcher may be recycled
            given = other.ask("isolate")
            if step == "pool-dropping":
                folder_of(given["url"]).joinpath("something").mkdir()  # so that it cannot be recycled
            other.ask("give_back")
        prefetcher = user.wait_paused()
        assert [process.pid for process in place.pools()] == [prefetcher]
        os.kill(prefetcher, signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(prefetcher), 5)
        with psycopg.connect(mine["url"]) as connection:
            connection.execute("create table mark (n int)")
        second = user.ask("isolate")
        assert second["dbname"] != mine["dbname"]
        settled(place, url, mine["dbname"], second["dbname"])
        user.ask("give_back")
        other.ask("give_back")
        settled(place, url)
        for actor in (user, other):
            actor.leave()
        place.wait_until_empty(2)


def test_keeper_killed_with_its_helper_at_work(place: Home, first: Actor) -> None:
    warm(place, first)
    (keeper,) = place.keepers()
    keeper.kill()
    wait_for(lambda: not place.pools() and not place.servers(), 3)
    first.ask("isolate")  # the call fails, but it returns
    first.kill()
    place.wait_until_empty(3)


def test_server_killed_with_its_helper_at_work(place: Home, first: Actor) -> None:
    warm(place, first)
    (server,) = place.servers()
    server.kill()
    wait_for(lambda: not place.pools(), 3)
    first.kill()
    place.wait_until_empty(3)


def test_leaving_waits_for_no_helper(place: Home, first: Actor) -> None:
    """The prefetcher is stopped: users are served, and the last one to leave removes everything."""
    warm(place, first)
    (prefetcher,) = place.pools()
    prefetcher.suspend()
    for _ in range(pool_sizer.FIRST + 2):  # more than are ready
        assert "error" not in first.ask("isolate")
        assert first.ask("give_back")["took"] < BUSY
    first.leave()
    place.wait_until_empty(1)


def test_helpers_that_cannot_work_are_given_up(place: Home, first: Actor) -> None:
    """Without a prefetcher, users drop their databases themselves."""
    url = str(first.ask("details")["url"])
    gone: set[int] = set()
    for _ in range(30):
        first.ask("isolate")
        for prefetcher in place.pools():
            prefetcher.kill()
            gone.add(prefetcher.pid)
        first.ask("give_back")
        if len(gone) >= 3 and not pool_of(place).send_event(RETURNED):
            break
        time.sleep(0.1)
    assert not pool_of(place).send_event(RETURNED), "the FIFO still has a reader"
    mine = first.ask("isolate")
    assert mine["dbname"] in databases(url)
    first.ask("give_back")
    assert mine["dbname"] not in databases(url)


def test_where_removing_is_behind_users_remove_their_own(place: Home, first: Actor) -> None:
    warm(place, first)
    url = str(first.ask("details")["url"])
    (prefetcher,) = place.pools()
    prefetcher.suspend()
    for _ in range(3 * MAX_BACKLOG):
        assert "error" not in first.ask("isolate")
        assert first.ask("give_back")["took"] < BUSY
    assert len(names(pool_of(place))[1]) <= MAX_BACKLOG + 1
    assert len(databases(url)) <= MAX_BACKLOG + 1 + pool_sizer.MOST
    prefetcher.resume()
    settled(place, url)


def test_helper_killed_with_nobody_asking_any_more(place: Home, first: Actor) -> None:
    """The next prefetcher removes the database of a user that dies later."""
    warm(place, first)
    url = str(first.ask("details")["url"])
    with Actor(place) as second:
        second.enter("postgres")
        mine = second.ask("isolate")
        (prefetcher,) = place.pools()
        prefetcher.kill()
        wait_for(lambda: place.pools() and place.pools() != [prefetcher], 5)
        second.kill()
        wait_for(lambda: mine["dbname"] not in databases(url), 5)
