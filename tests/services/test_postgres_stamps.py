"""Stamps that a write replaces: only files that were written to are copied again."""

import os
from pathlib import Path

import pytest

from servicectx.services.postgres import stamps


@pytest.fixture
def copied(tmp_path: Path) -> tuple[Path, Path, dict[str, int]]:
    model, copy = tmp_path / "model", tmp_path / "copy"
    for folder in (model, copy):
        folder.mkdir()
        for name in ("a", "b", "c"):
            (folder / name).write_text(name * 10)
    stamps.stamp(str(copy))
    return model, copy, stamps.sizes(str(model))


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_marks_stay_here(tmp_path: Path) -> None:
    assert stamps.stamps_are_reliable(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert not stamps.stamps_are_reliable(str(tmp_path / "nowhere"))


def test_what_was_written_is_seen_whatever_the_clock_says(copied: tuple[Path, Path, dict[str, int]]) -> None:
    model, copy, sizes = copied
    untouched = (copy / "c").stat().st_ino
    (copy / "a").write_text("x" * 10)
    os.utime(copy / "a", (1, 0))  # as after a clock change
    with open(copy / "b", "r+") as file:
        file.write("y")
    (copy / "new").write_text("z")
    stamps.restore(str(copy), str(model), sizes)
    assert content(copy) == content(model)
    assert (copy / "c").stat().st_ino == untouched
    assert {path.stat().st_mtime_ns for path in copy.iterdir()} == {stamps.STAMP}


def test_files_that_are_gone_short_or_linked(copied: tuple[Path, Path, dict[str, int]]) -> None:
    model, copy, sizes = copied
    (copy / "a").unlink()
    os.truncate(copy / "b", 3)
    os.utime(copy / "b", ns=(stamps.STAMP, stamps.STAMP))
    os.link(copy / "c", copy.parent / "other name")
    stamps.restore(str(copy), str(model), sizes)
    (copy.parent / "other name").write_text("another file")
    assert content(copy) == content(model)


def test_more_than_files_is_unfit(copied: tuple[Path, Path, dict[str, int]], tmp_path: Path) -> None:
    model, copy, sizes = copied
    (copy / "directory").mkdir()
    with pytest.raises(stamps.CannotRestore):
        stamps.restore(str(copy), str(model), sizes)
    with pytest.raises(stamps.CannotRestore):
        stamps.sizes(str(copy))
    (tmp_path / "link").symlink_to(model)
    with pytest.raises(stamps.CannotRestore):
        stamps.stamp(str(tmp_path / "link"))
    assert content(model).keys() == {"a", "b", "c"}
    with pytest.raises(stamps.CannotRestore):
        stamps.move(str(copy), str(model))
