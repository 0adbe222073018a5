"""A Postgres with BENCH_TABLES tables, each with an index, a sequence and some rows. The very first run makes them."""

import os
import time

from servicectx import PostgresDetails, managed

TABLES = int(os.environ["BENCH_TABLES"])


def schema(pg: PostgresDetails) -> None:
    import psycopg

    with psycopg.connect(pg.url) as connection:
        for number in range(TABLES):
            connection.execute(f"create table t{number} (id serial primary key, name text, made timestamptz)")
            connection.execute(f"create index on t{number} (name)")
            connection.execute(f"insert into t{number} (name) select 'x' || n from generate_series(1, 10) n")


schema.__module__ = "benchmark"  # otherwise named after the program's directory, which differs in each run
with managed("postgres", setup=schema, snapshot="1"):
    print("mark usable", time.monotonic())
print("mark left", time.monotonic())
