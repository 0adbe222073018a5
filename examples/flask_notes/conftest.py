import pytest
from app import create_app, create_tables, db
from servicectx_pytest import service_fixture

database = service_fixture("postgres", isolated=create_tables, depends=["app.py"])


@pytest.fixture
def app(database):
    app = create_app(database.sqlalchemy_url)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def client(app):
    return app.test_client()
