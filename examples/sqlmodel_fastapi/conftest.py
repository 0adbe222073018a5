import pytest
from app import app, create_tables, get_session
from fastapi.testclient import TestClient
from servicectx_pytest import service_fixture
from sqlmodel import Session, create_engine

database = service_fixture("postgres", isolated=create_tables, depends=["app.py"])


@pytest.fixture
def session(database):
    engine = create_engine(database.sqlalchemy_url)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def client(session):
    app.dependency_overrides[get_session] = lambda: session
    yield TestClient(app)
    app.dependency_overrides.clear()
