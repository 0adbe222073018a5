"""Files outside an instance's directory that are removed with it, in directories that another account can write."""

import os
import pwd
import socket
from pathlib import Path

import pytest

from servicectx.state import owned_files


@pytest.fixture
def instance(place: Path) -> Path:
    path = place / "instance"
    path.mkdir(mode=0o700)
    return path


def test_what_a_pattern_matches_through_a_link_stays(
    instance: Path, theirs: Path, secret: Path, account: pwd.struct_passwd
) -> None:
    (theirs / "server-1").symlink_to(secret)
    (theirs / "server-2").mkdir()
    (theirs / "server-2" / "file").touch()
    owned_files.leave(instance, [f"{theirs}/server-*/file"], account.pw_uid)
    assert owned_files.left(instance) == [theirs / "server-2" / "file"]
    owned_files.remove_owned(instance)
    assert not (theirs / "server-2" / "file").exists()
    assert (secret / "file").exists()


def test_what_belongs_to_another_user_stays(instance: Path, theirs: Path, account: pwd.struct_passwd) -> None:
    owners = {"ours": 0, "servers": account.pw_uid, "others": 12345}
    for name, owner in owners.items():
        (theirs / name).touch()
        os.chown(theirs / name, owner, -1)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(theirs / "socket"))
    (theirs / "link").symlink_to(theirs / "others")
    (theirs / "directory").mkdir()
    owned_files.leave(instance, [f"{theirs}/*"], account.pw_uid)
    owned_files.remove_owned(instance)
    assert sorted(os.listdir(theirs)) == ["directory", "link", "others"]


def test_a_details_file_is_removed_only_where_it_was_written(
    instance: Path, theirs: Path, secret: Path, account: pwd.struct_passwd
) -> None:
    """The account replaces its directory with a link to a directory with a file of the same name."""
    (theirs / "details").mkdir()
    (theirs / "details" / "file").write_text("root's\n")
    owned_files.note(instance, theirs / "details" / "file", "root's\n")
    assert owned_files.noted(instance) == [theirs / "details" / "file"]
    os.rename(theirs / "details", theirs / "aside")
    (theirs / "details").symlink_to(secret)
    owned_files.remove_owned(instance)
    assert (secret / "file").exists()
    (theirs / "details").unlink()
    os.rename(theirs / "aside", theirs / "details")
    owned_files.remove_owned(instance)
    assert not (theirs / "details" / "file").exists()
