"""Databases that are hard to drop: the server's own workers, and what cannot go."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from servicectx import PostgresDetails, isolated, managed
from servicectx.namespaces.postgres_line import hang_up
from tests.detector import wait_for

# A worker is busy with a table for long, as soon as there is one that needs it.
VACUUM = {
    "track_counts": "on",
    "autovacuum": "on",
    "autovacuum_naptime": "1s",
    "autovacuum_vacuum_cost_delay": "100ms",
    "autovacuum_vacuum_cost_limit": 1,
}


def run(details: PostgresDetails, *statements: Any) -> list[Any]:
    with psycopg.connect(details.url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def databases(details: PostgresDetails) -> set[str]:
    return {str(row[0]) for row in run(details, "select datname from pg_database")}


@pytest.fixture
def pg() -> Iterator[PostgresDetails]:
    with managed("postgres") as details:
        yield details
    hang_up()


def outside(pg: PostgresDetails) -> PostgresDetails:
    run(pg, "create role app login createdb password 'app'", "create database app owner app")
    return pg.model_copy(update={"user": "app", "password": "app", "dbname": "app", "external": True})


def test_outside_a_worker_of_the_server_is_not_in_the_way(caplog: pytest.LogCaptureFixture) -> None:
    busy = "select 1 from pg_stat_activity where datname = %s and backend_type = 'autovacuum worker'"
    with managed("postgres", settings=VACUUM) as pg, psycopg.connect(pg.url, autocommit=True) as watching:
        with isolated(outside(pg)) as mine:
            run(
                mine,
                "create table things as select g, repeat('x', 500) as s from generate_series(1, 60000) g",
                "update things set s = s || 'y'",
            )
            wait_for(lambda: bool(watching.execute(busy, [mine.dbname]).fetchall()), 20)
        assert mine.dbname not in databases(pg)
    assert "was not removed" not in caplog.text


def test_outside_somebody_else_s_client_is_in_the_way_and_that_is_said(
    pg: PostgresDetails, caplog: pytest.LogCaptureFixture
) -> None:
    with isolated(outside(pg)) as mine:
        theirs = psycopg.connect(pg.model_copy(update={"dbname": mine.dbname}).url)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    (said,) = [each for each in caplog.records if "was not removed" in each.message]
    assert said.levelno == logging.WARNING
    assert mine.dbname in said.message
    assert theirs.execute("select 1").fetchall() == [(1,)]
    theirs.close()
    run(pg, f"drop database {mine.dbname}")


def test_that_the_server_is_gone_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with managed("postgres", scope="private") as pg:
        isolating = isolated(pg.model_copy(update={"external": True}))
        isolating.__enter__()
    isolating.__exit__()
    (said,) = [each for each in caplog.records if "was not removed" in each.message]
    assert said.levelno == logging.INFO
