"""Open and close a database whose source has more and more tables. Arguments: numbers of tables."""

import os
import sys
import time
from functools import partial

import psycopg

from servicectx import PostgresDetails, isolated, managed

TIMES = int(os.environ.get("BENCH_TIMES", "9"))


def make(tables: int, pg: PostgresDetails) -> None:
    with psycopg.connect(pg.url) as connection:
        for number in range(tables):
            connection.execute(f"create table t{number} (id int primary key, name text)")


for size in map(int, sys.argv[1:]):
    with managed("postgres", setup=partial(make, size), timeout=600) as pg:
        for number in range(-2, TIMES):
            began = time.monotonic()
            database = isolated(pg)
            mine = database.__enter__()
            opened = time.monotonic()
            with psycopg.connect(mine.url) as connection:
                connection.execute("insert into t0 values (1, 'x')")
            used = time.monotonic()
            database.__exit__(None, None, None)
            closed = time.monotonic()
            if number >= 0:
                print("point open", size, f"{(opened - began) * 1000:.4f}")
                print("point first_insert", size, f"{(used - opened) * 1000:.4f}")
                print("point close", size, f"{(closed - used) * 1000:.4f}")
