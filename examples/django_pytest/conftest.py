import pytest
from servicectx_pytest import service_fixture

from servicectx.testing import django_setup

database = service_fixture("postgres", setup=django_setup("project.settings"), isolated=True, fixture_scope="session")


@pytest.fixture(scope="session")
def django_db_setup(database):
    """Replace the fixture of pytest-django, which creates one database for each worker and migrates each of them."""
    from django.db import connection

    connection.settings_dict.update(
        HOST=database.host,
        PORT=database.port,
        USER=database.user,
        PASSWORD=database.password,
        NAME=database.dbname,
    )
    yield
    connection.close()  # before the database is removed
