"""servicectx under pytest, with the client of pytest-redis."""

import time
from collections.abc import Iterator

import pytest
import redis

from servicectx import managed


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with managed("redis") as details, redis.Redis.from_url(details.url) as connection:
        yield connection


def test_it(client: redis.Redis) -> None:
    assert client.ping()
    print("\nmark usable", time.monotonic())
