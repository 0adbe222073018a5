"""servicectx under pytest, without a client."""

import time
from collections.abc import Iterator

import pytest

from servicectx import RedisDetails, managed


@pytest.fixture
def details() -> Iterator[RedisDetails]:
    with managed("redis") as found:
        yield found


def test_it(details: RedisDetails) -> None:
    assert details.port
    print("\nmark usable", time.monotonic())
