import pytest
from models import create_tables
from servicectx_pytest import service_fixture
from sqlalchemy import NullPool, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

# A database for each test, and a database for all tests of a process. The tables are created once for both.
own_database = service_fixture("postgres", isolated=create_tables, depends=["models.py"])
one_database = service_fixture("postgres", isolated=create_tables, depends=["models.py"], fixture_scope="session")


@pytest.fixture
def session(own_database):
    """A session on a database of its own: the test and the code under test may commit."""
    engine = create_engine(own_database.sqlalchemy_url)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture(scope="session")
def engine(one_database):
    engine = create_engine(one_database.sqlalchemy_url)
    yield engine
    engine.dispose()


@pytest.fixture
def rolled_back(engine):
    """A session in one transaction, rolled back at the end: `commit()` only releases a savepoint."""
    with engine.connect() as connection, connection.begin() as transaction:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        transaction.rollback()


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def async_session(anyio_backend, own_database):
    engine = create_async_engine(own_database.async_sqlalchemy_url)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session
    await engine.dispose()


@pytest.fixture
async def async_rolled_back(anyio_backend, one_database):
    """Each test has its own event loop, and so its own connection."""
    engine = create_async_engine(one_database.async_sqlalchemy_url, poolclass=NullPool)
    async with engine.connect() as connection, connection.begin() as transaction:
        async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        await transaction.rollback()
    await engine.dispose()
