"""What the tests of several services need."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ordinary


@pytest.fixture(scope="session")
def reachable_python() -> Iterator[Path]:
    """A Python that every account can run, for programs that stand in for servers that refuse root."""
    place = Path(tempfile.mkdtemp(prefix="sctx-python-"))
    place.chmod(0o755)
    yield ordinary.python(place)
    shutil.rmtree(place)
