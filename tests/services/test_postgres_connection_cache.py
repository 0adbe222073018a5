"""A process that creates several databases logs in once, and not at all while databases are ready."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from servicectx import NotIsolable, PostgresDetails, isolated, managed
from servicectx.isolation import pool_sizer
from servicectx.isolation.pool import BASE, Pool
from servicectx.services.postgres.connection_cache import close_cached
from servicectx.services.postgres.databases import Databases, base
from tests.detector import wait_for


@pytest.fixture
def pg() -> Iterator[PostgresDetails]:
    with managed("postgres", scope="private") as details:
        yield details
    close_cached()


def make(details: PostgresDetails, name: str) -> None:
    assert Databases.of(details).open(name, base) == name


def lines(details: PostgresDetails) -> list[int]:
    """The server's processes of cached connections. A closed connection disappears after a moment."""
    with psycopg.connect(details.url) as connection:
        found = connection.execute("select pid from pg_stat_activity where application_name = 'servicectx'").fetchall()
    return [row[0] for row in found]


def test_one_login_is_enough_for_several(pg: PostgresDetails) -> None:
    make(pg, "one")
    (first,) = lines(pg)
    make(pg, "two")
    assert lines(pg) == [first]
    Databases.of(pg).close("two")  # ends the creators of the database; the cached connection has another name by now
    assert lines(pg) == [first]
    close_cached()
    wait_for(lambda: lines(pg) == [], 5)


def test_one_that_was_ended_is_replaced(pg: PostgresDetails) -> None:
    make(pg, "one")
    (first,) = lines(pg)
    with psycopg.connect(pg.url) as connection:
        connection.execute("select pg_terminate_backend(%s, 5000)", [first])
    make(pg, "two")
    (second,) = lines(pg)
    assert second != first


def test_none_is_kept_after_a_refusal(pg: PostgresDetails) -> None:
    make(pg, "one")
    with pytest.raises(NotIsolable, match="already exists"):
        Databases.of(pg).open("one", base)
    wait_for(lambda: lines(pg) == [], 5)


def test_there_is_one_for_the_last_server_only(pg: PostgresDetails) -> None:
    make(pg, "one")
    with managed("postgres", scope="private") as other:
        make(other, "one")
        assert len(lines(other)) == 1
        wait_for(lambda: lines(pg) == [], 5)


def test_a_forked_child_has_its_own(pg: PostgresDetails) -> None:
    make(pg, "one")
    (first,) = lines(pg)
    child = os.fork()
    if child == 0:
        try:
            make(pg, "two")
            os._exit(0 if len(lines(pg)) == 2 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    make(pg, "three")
    assert first in lines(pg)


def test_a_hit_hangs_up(pg: PostgresDetails, home: Path) -> None:
    with isolated(pg):
        assert len(lines(pg)) == 1
    (directory,) = home.glob("servicectx-home/postgres-*.*/pool")
    wait_for(lambda: Pool(directory.parent).count(BASE) >= pool_sizer.FIRST, 10)
    with isolated(pg):
        wait_for(lambda: lines(pg) == [], 5)
