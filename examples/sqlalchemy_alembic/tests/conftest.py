from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from servicectx_pytest import service_fixture
from sqlalchemy import create_engine
from sqlalchemy.orm import Session


def alembic_config(pg):
    config = Config(Path(__file__).parents[1] / "alembic.ini")
    config.set_main_option("sqlalchemy.url", pg.sqlalchemy_url.replace("%", "%%"))
    return config


def migrate(pg):
    command.upgrade(alembic_config(pg), "head")


database = service_fixture("postgres", name="shop", setup=migrate, isolated=True)


@pytest.fixture
def session(database):
    engine = create_engine(database.sqlalchemy_url)
    with Session(engine) as session:
        yield session
    engine.dispose()
