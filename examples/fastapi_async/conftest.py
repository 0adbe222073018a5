import pytest
from app import create_app


@pytest.fixture
def app(isolated_postgres, isolated_redis):
    return create_app(isolated_postgres.url, isolated_redis.url)
