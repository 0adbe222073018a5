"""Postgres servers of several packages, through psycopg."""

import psycopg

from servicectx import PostgresDetails


def put(details: PostgresDetails, name: str, value: str) -> None:
    with psycopg.connect(details.url) as connection:
        connection.execute("create table if not exists kept (name text primary key, value text)")
        connection.execute("insert into kept values (%s, %s)", (name, value))


def get(details: PostgresDetails, name: str) -> str | None:
    with psycopg.connect(details.url) as connection:
        if connection.execute("select to_regclass('kept')").fetchone() == (None,):
            return None
        row = connection.execute("select value from kept where name = %s", (name,)).fetchone()
        return None if row is None else str(row[0])
