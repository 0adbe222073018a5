"""The log of a server with kept data lies beside them, where the server's account cannot write."""

import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from servicectx import managed
from servicectx.testing import FakeService


@pytest.fixture
def storage(home: Path) -> Iterator[Path]:
    """A directory on another file system than the home."""
    places = (Path(tempfile.gettempdir()), Path("/dev/shm"), Path("/var/tmp"))
    elsewhere = next(each for each in places if each.stat().st_dev != home.stat().st_dev)
    path = Path(tempfile.mkdtemp(prefix="sctest-", dir=elsewhere))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)
    with managed(FakeService):  # removes the note of the data's path in the home
        pass


def test_a_log_that_is_kept_is_not_written_through_a_link(
    storage: Path, secret: Path, account: pwd.struct_passwd, caplog: pytest.LogCaptureFixture
) -> None:
    """Data and home are on different file systems, so the log is copied."""
    os.chmod(secret, 0o755)
    link = f"ln -s {secret}/file"
    service = managed("postgres", keep_data=True, storage=storage)
    with service as pg, psycopg.connect(pg.url, autocommit=True) as session:
        (data,) = session.execute("show data_directory").fetchone() or ("",)
        for folder in (Path(data), *Path(data).parents[:2]):
            session.execute(f"copy (select 1) to program '{link} {folder}/service.log || true'".encode())
    os.chmod(secret, 0o700)
    (kept,) = re.findall("the data of postgres are kept; open them with: servicectx open (.*)", caplog.text)
    assert (secret / "file").read_text() == "root's\n"
    log = Path(kept, "service.log")
    assert "database system is ready" in log.read_text()
    assert (log.is_symlink(), log.stat().st_uid) == (False, 0)
