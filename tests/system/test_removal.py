"""Trees of any size are removed completely, without the targets of their links."""

import os
import socket
import time
from pathlib import Path

import pytest

from servicectx.system.removal import MANY, remove_tree
from tests.detector import BUSY


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree like the data of a server with many databases, two levels down."""
    base = tmp_path / "tree" / "data" / "base"
    for number in range(MANY + 3):
        folder = base / f"-{number} of 'many' *"
        (folder / "deeper").mkdir(parents=True)
        (folder / "deeper" / "file").write_text("data")
        (folder / "-rf").write_text("data")
    return tmp_path / "tree"


def test_all_of_it_goes(tree: Path) -> None:
    remove_tree(tree)
    assert not tree.exists()


def test_the_second_time_nothing_happens(tree: Path) -> None:
    remove_tree(tree)
    remove_tree(tree)
    assert not tree.exists()


def test_what_links_point_to_stays(tree: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "folder").mkdir(parents=True)
    (precious / "file").write_text("mine")
    for number in range(MANY):
        (tree / "data" / "base" / f"link-{number}").symlink_to(precious)
    (tree / "data" / "link").symlink_to(precious)
    (tree / "link").symlink_to(precious)
    remove_tree(tree)
    assert not os.path.lexists(tree)
    assert (precious / "file").read_text() == "mine"
    assert (precious / "folder").is_dir()


def test_it_goes_without_rm(tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    remove_tree(tree)
    assert not tree.exists()


@pytest.mark.parametrize("kind", ["file", "locked", "link", "link to a folder", "dangling", "socket", "pipe"])
def test_what_is_no_folder_goes_at_once(kind: str, tree: Path, tmp_path: Path) -> None:
    path, precious = tmp_path / "path", tmp_path / "precious"
    precious.write_text("mine")
    if kind in ("file", "locked"):
        path.write_text("data")
        path.chmod(0o600 if kind == "file" else 0)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"link": precious, "link to a folder": tree, "dangling": tmp_path / "none"}[kind])
    began = time.monotonic()
    remove_tree(path)
    assert time.monotonic() - began < BUSY
    assert not os.path.lexists(path)
    assert precious.read_text() == "mine"
    assert len(list((tree / "data" / "base").iterdir())) == MANY + 3
