from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from models import Base
from sqlalchemy import create_engine, inspect

from tests.conftest import alembic_config


def test_models_and_migrations_agree(session):
    context = MigrationContext.configure(session.connection())
    assert compare_metadata(context, Base.metadata) == []


def test_down_and_up_again(database):
    command.downgrade(alembic_config(database), "base")
    command.upgrade(alembic_config(database), "head")
    engine = create_engine(database.sqlalchemy_url)
    assert inspect(engine).has_table("orders")
    engine.dispose()
