"""The address is in the code, as in the tests of rq: port 6379 of this machine, without a password."""

from collections.abc import Iterator

import pytest
from redis import Redis


@pytest.fixture
def connection() -> Iterator[Redis]:
    with Redis(port=6379) as connection:
        connection.flushdb()
        yield connection
