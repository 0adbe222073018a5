"""pytest-postgresql."""

import time

import psycopg


def test_it(postgresql: psycopg.Connection) -> None:
    assert postgresql.execute("SELECT 1").fetchone() == (1,)
    print("\nmark usable", time.monotonic())
    print("mark left", time.monotonic())  # its fixtures end with the process
