from contextlib import closing

import psycopg2
import pytest
from servicectx_pytest import service_fixture

database = service_fixture("postgres", isolated="schema.sql")


@pytest.fixture
def connection(database):
    with closing(psycopg2.connect(database.url)) as connection:
        yield connection
