"""Root copies data to and from a server's account, while that account swaps directories for links."""

import os
import pwd
import time
from pathlib import Path

import pytest

from servicectx.datadirs import prepared as kept
from servicectx.datadirs.cache import TEMPLATES
from servicectx.errors import StartFailed
from servicectx.keeper.datadir import DataDirectory
from servicectx.services.plan import Plan, Template, encode
from servicectx.system.removal import remove_tree
from tests.hostile.intruder import SECONDS, SWAP, Intruder

KEY = "prepared"

# Whenever a data directory appears: replace it with another one, which has a link where root will make a directory.
# Old layouts have the data in the instance's directory, new layouts in a directory below.
REPLACE = """
import os, sys
root, theirs, victim = sys.argv[1:]
def prepare(number):
    evil = f"{theirs}/{number}"
    os.mkdir(evil)
    for each in range(20):
        os.mkdir(f"{evil}/full-{each}")
        os.symlink(victim, f"{evil}/empty-{each}")
    return evil
number, seen = 0, set()
evil = prepare(number)
print("ready", flush=True)
while True:
    for name in os.listdir(root):
        for place in (f"{root}/{name}", f"{root}/{name}/run"):
            if place in seen:
                continue
            try:
                os.rename(place + "/data", f"{theirs}/old-{number}")
                os.symlink(evil, place + "/data")
            except OSError:
                continue
            seen.add(place)
            number += 1
            evil = prepare(number)
"""


def data_of(place: Path, id: str, account: pwd.struct_passwd, files: dict[str, str] | None = None) -> DataDirectory:
    """A keeper's data directory of a service that runs as the account, with prepared data in the cache."""
    plan = Plan(
        service="fake",
        command=["true", "{data}"],
        environment={},
        ready={"kind": "running"},
        files=files or {},
        template=Template(KEY, ["true"], {}),
        account=account.pw_name,
    )
    order = {"cache": str(place / "cache"), "cache_size": 1 << 30, "snapshot": None, "name": "fake"}
    root = place / "data"
    root.mkdir(mode=0o711, exist_ok=True)
    root.chmod(0o755)  # its names are not secret: command lines show them
    return DataDirectory(root / f"fake-{'0' * 12}.{id:0>8}", plan, order | {"plan": encode(plan)}, place / "home")


def begun(data: DataDirectory) -> DataDirectory:
    data.begin()
    data.arrived()
    data.hand_over()
    return data


@pytest.fixture
def prepared(place: Path, tmp_path: Path) -> Path:
    """A cache with one prepared copy."""
    for number in range(20):
        (tmp_path / f"full-{number}").mkdir()
        (tmp_path / f"empty-{number}").mkdir()
        for file in range(30):
            (tmp_path / f"full-{number}" / str(file)).write_text("data")
    kept.store(tmp_path, place / "cache" / TEMPLATES / KEY)
    return place / "cache"


def test_a_copy_gives_the_account_nothing_of_root_s(
    prepared: Path, place: Path, secret: Path, theirs: Path, account: pwd.struct_passwd, intruder: Intruder
) -> None:
    data_of(place, "ffffffff", account)
    intruder.start(REPLACE, place / "data", theirs, secret / "file")
    until, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < until or rounds < 3:
        data = data_of(place, str(rounds), account)
        data.begin()
        assert data.arrived() is not None, "the account cannot change the copy before the hand-over"
        assert (data.path / "full-0" / "0").stat().st_uid == account.pw_uid
        data.hand_over()
        remove_tree(data.container)
        rounds += 1
        assert (secret / "file").stat().st_uid == 0


def test_a_snapshot_holds_nothing_of_root_s(
    prepared: Path, place: Path, secret: Path, theirs: Path, account: pwd.struct_passwd, intruder: Intruder
) -> None:
    data = begun(data_of(place, "0", account))
    intruder.start(SWAP, data.path / "full-7", secret / "7", theirs)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        copy = place / "cache" / "snapshots" / "one"
        data.keep(copy, "password")
        found = [path for path in copy.rglob("*") if path.is_file()]
        assert not [path for path in found if "root's" in path.read_text()]
        remove_tree(copy)


def test_a_snapshot_has_no_file_that_is_not_the_account_s(
    prepared: Path, place: Path, secret: Path, account: pwd.struct_passwd
) -> None:
    """Such a file is a hard link, which some kernels let accounts make."""
    data = begun(data_of(place, "0", account))
    os.link(secret / "file", data.path / "full-7" / "more")
    data.keep(place / "cache" / "snapshots" / "one", "password")
    assert not (place / "cache" / "snapshots" / "one").exists()
    os.unlink(data.path / "full-7" / "more")
    os.mkfifo(data.path / "full-7" / "fifo")
    os.chown(data.path / "full-7" / "fifo", account.pw_uid, account.pw_gid)
    data.keep(place / "cache" / "snapshots" / "one", "password")
    assert kept.is_prepared(place / "cache" / "snapshots" / "one"), "a FIFO is left out, and not waited for"


def test_prepared_data_of_another_user_are_not_used(prepared: Path, place: Path, account: pwd.struct_passwd) -> None:
    file = prepared / TEMPLATES / KEY / "full-7" / "7"
    os.chown(file, account.pw_uid, account.pw_gid)
    data = data_of(place, "0", account)
    data.begin()
    assert data.arrived() is None
    assert not (prepared / TEMPLATES / KEY).exists()
    assert not data.path.exists()


@pytest.mark.parametrize("name", ["conf/file.conf", "file.conf"])
def test_files_for_a_restart_go_nowhere_else(
    name: str, place: Path, secret: Path, theirs: Path, account: pwd.struct_passwd, intruder: Intruder
) -> None:
    data = begun(data_of(place, "0", account))
    data.write({"conf/first": "", name: "text"}, {})
    swapped, meant = (data.directory / "conf", secret) if "/" in name else (data.directory / name, secret / "file")
    intruder.start(SWAP, swapped, meant, theirs)
    until, written = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        try:
            data.write({name: "text"}, {})
            written += 1
        except (StartFailed, OSError):
            pass  # the directory is moved away at this moment
        assert not (secret / "file.conf").exists()
    assert written


def test_leaving_files_out_removes_none_of_root_s(
    prepared: Path, place: Path, secret: Path, theirs: Path, account: pwd.struct_passwd, intruder: Intruder
) -> None:
    data = begun(data_of(place, "0", account))
    intruder.start(SWAP, data.path / "full-7", secret / "7", theirs)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            data.leave_out("precious")
        except OSError:
            continue
        assert (secret / "7" / "precious").exists()
