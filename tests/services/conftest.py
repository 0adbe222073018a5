"""What the tests of several services need."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ordinary
from tests.services import table


@pytest.fixture(scope="module", autouse=True)
def server_is_here(request: pytest.FixtureRequest) -> None:
    """The tests of a service whose server only the system can bring are skipped, by name, where it is missing."""
    table.require(request.module.__name__.rpartition(".test_")[2])


@pytest.fixture(scope="session")
def reachable_python() -> Iterator[Path]:
    """A Python that every account can run, for programs that stand in for servers that refuse root."""
    place = Path(tempfile.mkdtemp(prefix="sctx-python-"))
    place.chmod(0o755)
    yield ordinary.python(place)
    shutil.rmtree(place)
