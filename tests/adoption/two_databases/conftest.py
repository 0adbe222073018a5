"""URLs come from the option --dburi, which may be repeated, as in the tests of SQLAlchemy."""

from collections.abc import Iterator

import pytest
import sqlalchemy


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--dburi", action="append", default=[], help="a database to test; may be repeated")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        urls = metafunc.config.getoption("--dburi")
        metafunc.parametrize(
            "engine", urls, ids=[sqlalchemy.make_url(url).get_backend_name() for url in urls], indirect=True
        )


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(request.param)
    yield engine
    engine.dispose()
