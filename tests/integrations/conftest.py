"""Sample projects are run by their frameworks, and not collected here."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

collect_ignore_glob = ["*/sample/*", "orders/*"]


@pytest.fixture
def place(run_directory: Path) -> Iterator[Path]:
    """A directory for copies of sample projects, with a short name: behavex puts sockets below it."""
    path = Path(tempfile.mkdtemp(prefix="p-", dir=run_directory))
    yield path
    shutil.rmtree(path, ignore_errors=True)
