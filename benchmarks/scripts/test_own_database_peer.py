"""pytest-postgresql: each test has a separate database, cloned from its template. BENCH_TESTS: the number of tests (1).

Its loader creates BENCH_TABLES tables, once for each process of pytest.
"""

import os
import time

import psycopg
import pytest
from pytest_postgresql import factories

TABLES = int(os.environ.get("BENCH_TABLES", "0"))


def make_tables(**login: str) -> None:
    with psycopg.connect(**login) as connection:  # type: ignore[arg-type]
        for number in range(TABLES):
            connection.execute(f"create table t{number} (id serial primary key, name text, made timestamptz)")
            connection.execute(f"create index on t{number} (name)")


server = factories.postgresql_proc(load=[make_tables] if TABLES else [])
own_database = factories.postgresql("server")


@pytest.mark.parametrize("number", range(int(os.environ.get("BENCH_TESTS", "1"))))
def test_it(own_database: "psycopg.Connection[tuple[int]]", number: int) -> None:
    own_database.execute("create table mine (n int)")
    own_database.execute("insert into mine values (%s)", [number])
    assert own_database.execute("select n from mine").fetchall() == [(number,)]
    if number == 0:
        print("\nmark first", time.monotonic())
    print("\nmark last", time.monotonic())
