"""Databases that are hard to drop: objects without a client, the server's own workers, and other users' clients."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from servicectx import PostgresDetails, isolated, managed
from servicectx.isolation import owner_names
from servicectx.services.postgres.connection_cache import close_cached
from servicectx.services.postgres.databases import Databases, base
from tests.detector import wait_for

SETTINGS = {"max_prepared_transactions": 10, "wal_level": "logical", "max_replication_slots": 4, "max_wal_senders": 4}

# An autovacuum worker is then busy for a long time with any table that needs it.
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


def is_gone(details: PostgresDetails, name: str) -> None:
    wait_for(lambda: name not in databases(details), 5, lambda: f"{databases(details)}")


@pytest.fixture
def pg() -> Iterator[PostgresDetails]:
    with managed("postgres", settings=SETTINGS) as details:
        yield details
    close_cached()


def outside(pg: PostgresDetails) -> PostgresDetails:
    run(pg, "create role app login createdb password 'app'", "create database app owner app")
    return pg.model_copy(update={"user": "app", "password": "app", "dbname": "app", "external": True})


def prepare(details: PostgresDetails) -> None:
    with psycopg.connect(details.url) as connection:
        connection.execute("create table things (n int)")
        connection.execute("prepare transaction 'it''s left'")


def test_prepared_transactions_are_rolled_back(pg: PostgresDetails) -> None:
    prepare(pg)
    for _ in range(5):
        with isolated(pg) as mine, psycopg.connect(mine.url) as connection:
            connection.execute(f"create table {mine.dbname}_things (n int)")
            connection.execute(f"prepare transaction '{mine.dbname} has ''this'' open'")
        is_gone(pg, mine.dbname)
    assert run(pg, "select gid from pg_prepared_xacts") == [("it's left",)], "the transaction of another database stays"
    run(pg, "rollback prepared 'it''s left'")


def test_so_they_are_outside(pg: PostgresDetails) -> None:
    with isolated(outside(pg)) as mine:
        prepare(mine)
    assert mine.dbname not in databases(pg)


def test_those_of_the_dead_are_no_hindrance(pg: PostgresDetails) -> None:
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    name = owner_names.new_name().replace(f"_{os.getpid()}_", f"_{died.pid}_")
    theirs = outside(pg)
    run(theirs, f"create database {name}")
    prepare(theirs.model_copy(update={"dbname": name}))
    with isolated(theirs):
        assert name not in databases(pg)


def test_slots_and_subscriptions_go(pg: PostgresDetails) -> None:
    with isolated(pg) as mine:
        run(mine, "select pg_create_logical_replication_slot('one', 'test_decoding')")
        run(mine, "create subscription two connection 'host=/nowhere' publication nothing with (connect = false)")
        prepare(mine)
    is_gone(pg, mine.dbname)
    assert run(pg, "select slot_name from pg_replication_slots") == []
    assert run(pg, "select subname from pg_subscription") == []


def test_the_usual_drop_asks_nothing_more(pg: PostgresDetails, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Databases.of(pg)
    server.open("one", base)
    calls: list[str] = []
    monkeypatch.setattr("servicectx.services.postgres.databases.remove_blockers", calls.append)
    server.close("one")
    assert calls == []
    assert "one" not in databases(pg)


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
    (record,) = [record for record in caplog.records if "was not removed" in record.message]
    assert record.levelno == logging.WARNING
    assert mine.dbname in record.message
    assert theirs.execute("select 1").fetchall() == [(1,)]
    theirs.close()
    run(pg, f"drop database {mine.dbname}")


def test_that_the_server_is_gone_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with managed("postgres", scope="private") as pg:
        isolating = isolated(pg.model_copy(update={"external": True}))
        isolating.__enter__()
    isolating.__exit__()
    (record,) = [record for record in caplog.records if "was not removed" in record.message]
    assert record.levelno == logging.INFO
