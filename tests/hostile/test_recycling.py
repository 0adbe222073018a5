"""Root recycles a database's directory, below a data directory where the server's account swaps directories."""

import contextlib
import os
import pwd
import time
from pathlib import Path

import pytest

from servicectx.services.postgres import stamps
from tests.hostile.intruder import SECONDS, SWAP, Intruder


@pytest.fixture
def data(place: Path, account: pwd.struct_passwd) -> Path:
    """The data directory of a server, with two databases and a parked one."""
    data = place / "container" / "run" / "data"
    for folder in (data / "base" / "1", data / "base" / "7", data.with_name("data.new")):
        folder.mkdir(parents=True)
        for number in range(20):
            (folder / str(number)).write_text("theirs")
    for path in [data.parent, *data.parent.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid)
    return data


def test_directories_of_root_s_are_not_moved(data: Path, secret: Path, theirs: Path, intruder: Intruder) -> None:
    intruder.start(SWAP, data / "base", secret, theirs)
    parked = f"{data}.aside"
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(stamps.CannotRestore):
            stamps.set_aside(f"{data}/base/7", parked)
        stamps.unlink_links(f"{data}/base", parked)
        with contextlib.suppress(stamps.CannotRestore):
            stamps.move(parked, f"{data}/base/7")
        assert (secret / "7").is_dir()
        assert not (secret / "7").is_symlink()


def test_files_of_root_s_are_neither_written_nor_marked_nor_removed(
    data: Path, secret: Path, theirs: Path, intruder: Intruder
) -> None:
    intruder.start(SWAP, data / "base", secret, theirs)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(stamps.CannotRestore):
            stamps.stamp(f"{data}/base/7")
        with contextlib.suppress(stamps.CannotRestore):
            stamps.restore(f"{data}/base/7", f"{data}.new", {str(number): 6 for number in range(20)})
        assert (secret / "7" / "precious").exists()


def test_a_hard_link_to_a_file_of_root_s_is_not_written(data: Path, secret: Path) -> None:
    """Some kernels let an account make such a link."""
    new = data.with_name("data.new")
    os.unlink(new / "7")
    os.link(secret / "file", new / "7")
    with pytest.raises(stamps.CannotRestore):
        stamps.stamp(str(new))
    os.unlink(data / "base" / "1" / "3")
    os.link(secret / "file", data / "base" / "1" / "3")
    with pytest.raises(stamps.CannotRestore):
        stamps.restore(str(new), f"{data}/base/1", {"3": 7})
    assert "root's" not in "".join(path.read_text() for path in new.iterdir())


def test_a_directory_of_root_s_is_not_emptied(data: Path) -> None:
    """The account moved the directory there."""
    moved = data.with_name("data.moved")
    moved.mkdir()
    (moved / "precious").write_text("root's\n")
    sizes = stamps.sizes(f"{data}/base/1")
    with pytest.raises(stamps.CannotRestore):
        stamps.stamp(str(moved))
    with pytest.raises(stamps.CannotRestore):
        stamps.restore(str(moved), f"{data}/base/1", sizes)
    assert os.listdir(moved) == ["precious"]
