"""The URL is in the code, as in the tests of langgraph's checkpointer: postgres:postgres on port 5441.

Each test makes a database of its own, which needs a superuser.
"""

import uuid
from collections.abc import Iterator

import psycopg
import pytest

URI = "postgres://postgres:postgres@localhost:5441/"


@pytest.fixture
def database() -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(URI, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield f"{URI}{name}"
        connection.execute(f"drop database {name} with (force)")


def test_a_checkpoint_is_found_again(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create table checkpoints (thread text primary key, state jsonb)")
        connection.execute("insert into checkpoints values ('a', '{\"step\": 1}')")
    with psycopg.connect(database) as connection:
        assert connection.execute("select state from checkpoints").fetchall() == [({"step": 1},)]
