"""Fixtures for the tests of several services."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ordinary
from tests.services import table


@pytest.fixture(scope="module", autouse=True)
def server_is_here(request: pytest.FixtureRequest) -> None:
    """Skip the tests of a service that needs a missing system package, by the name of the test module."""
    table.require(request.module.__name__.rpartition(".test_")[2])


@pytest.fixture(scope="session")
def ordinary_user() -> Iterator[ordinary.User]:
    """An ordinary user with all servers and clients. It takes seconds, so its tests run in one worker."""
    with ordinary.user(everything=True) as user:
        yield user


@pytest.fixture(scope="session")
def reachable_python() -> Iterator[Path]:
    """A Python that every account can run, for stand-ins of servers that refuse root."""
    place = Path(tempfile.mkdtemp(prefix="sctx-python-"))
    place.chmod(0o755)
    yield ordinary.python(place)
    shutil.rmtree(place)
