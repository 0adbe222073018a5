"""Trees go whole, however much is in them, and nothing that they only point to."""

import os
from pathlib import Path

import pytest

from servicectx._sharing.removal import MANY, remove_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Like the data of a server with many databases, two rows down."""
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
