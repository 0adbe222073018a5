"""servicectx: each test has a separate database, on one server for the run. BENCH_TESTS: the number of tests (1).

The set-up creates BENCH_TABLES tables, once.
"""

import os
import time
from typing import Any

import psycopg
import pytest
from servicectx_pytest import service_fixture

from servicectx import PostgresDetails

TABLES = int(os.environ.get("BENCH_TABLES", "0"))


def make_tables(details: PostgresDetails) -> None:
    with psycopg.connect(details.url) as connection:
        for number in range(TABLES):
            connection.execute(f"create table t{number} (id serial primary key, name text, made timestamptz)")
            connection.execute(f"create index on t{number} (name)")


arguments: dict[str, Any] = {"setup": make_tables} if TABLES else {}
own_database = service_fixture("postgres", isolated=True, **arguments)


@pytest.mark.parametrize("number", range(int(os.environ.get("BENCH_TESTS", "1"))))
def test_it(own_database: PostgresDetails, number: int) -> None:
    with psycopg.connect(own_database.url) as connection:
        connection.execute("create table mine (n int)")
        connection.execute("insert into mine values (%s)", [number])
        assert connection.execute("select n from mine").fetchall() == [(number,)]
    if number == 0:
        print("\nmark first", time.monotonic())
    print("\nmark last", time.monotonic())
