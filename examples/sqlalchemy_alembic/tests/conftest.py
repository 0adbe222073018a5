from pathlib import Path

import pytest
from alembic.config import Config
from servicectx_pytest import service_fixture
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from servicectx.testing import alembic_setup


def alembic_config(pg):
    config = Config(Path(__file__).parents[1] / "alembic.ini")
    config.set_main_option("sqlalchemy.url", pg.sqlalchemy_url.replace("%", "%%"))
    return config


database = service_fixture("postgres", name="shop", setup=alembic_setup("alembic.ini"), isolated=True)


@pytest.fixture
def session(database):
    engine = create_engine(database.sqlalchemy_url)
    with Session(engine) as session:
        yield session
    engine.dispose()
