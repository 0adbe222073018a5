"""pytest-redis."""

import time

import redis


def test_it(redisdb: redis.Redis) -> None:
    assert redisdb.ping()
    print("\nmark usable", time.monotonic())
