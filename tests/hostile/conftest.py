"""Tests against hostile processes of another account. They need root and such an account."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.canary import Canary
from tests.hostile.intruder import ACCOUNT, Intruder

REQUIRED = "SERVICECTX_REQUIRE_SERVERS" in os.environ


@pytest.fixture(scope="session")
def account() -> pwd.struct_passwd:
    """The account of a server, which the hostile process uses, too."""
    reason = ""
    if os.geteuid() != 0:
        reason = "only root can start processes of another account"
    elif ACCOUNT not in {entry.pw_name for entry in pwd.getpwall()}:
        reason = f"there is no account {ACCOUNT}"
    if reason and REQUIRED:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return pwd.getpwnam(ACCOUNT)


@pytest.fixture
def place(account: pwd.struct_passwd) -> Iterator[Path]:
    """An empty directory that every account can pass."""
    path = Path(tempfile.mkdtemp(prefix="sctest-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def secret(place: Path) -> Iterator[Path]:
    """A directory with files that only root can enter. It must be unchanged after the test."""
    canary = Canary(place / "roots")
    yield canary.path
    assert canary.changes() == []


@pytest.fixture
def theirs(place: Path, account: pwd.struct_passwd) -> Path:
    """A directory that belongs to the account."""
    path = place / "theirs"
    path.mkdir(mode=0o700)
    os.chown(path, account.pw_uid, account.pw_gid)
    return path


@pytest.fixture
def intruder(place: Path, account: pwd.struct_passwd) -> Iterator[Intruder]:
    with Intruder(account) as running:
        yield running
