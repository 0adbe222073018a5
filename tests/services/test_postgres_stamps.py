"""What was written to since it was copied, by marks that writing replaces; and only that is copied again."""

import os
from pathlib import Path

import pytest

from servicectx.services.postgres import stamps as marks


@pytest.fixture
def copied(tmp_path: Path) -> tuple[Path, Path, dict[str, int]]:
    model, copy = tmp_path / "model", tmp_path / "copy"
    for place in (model, copy):
        place.mkdir()
        for name in ("a", "b", "c"):
            (place / name).write_text(name * 10)
    marks.stamp(str(copy))
    return model, copy, marks.sizes(str(model))


def content(place: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in place.iterdir()}


def test_marks_stay_here(tmp_path: Path) -> None:
    assert marks.stamps_are_reliable(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert not marks.stamps_are_reliable(str(tmp_path / "nowhere"))


def test_what_was_written_is_seen_whatever_the_clock_says(copied: tuple[Path, Path, dict[str, int]]) -> None:
    model, copy, sizes = copied
    untouched = (copy / "c").stat().st_ino
    (copy / "a").write_text("x" * 10)
    os.utime(copy / "a", (1, 0))  # set back that far
    with open(copy / "b", "r+") as file:
        file.write("y")
    (copy / "new").write_text("z")
    marks.restore(str(copy), str(model), sizes)
    assert content(copy) == content(model)
    assert (copy / "c").stat().st_ino == untouched
    assert {path.stat().st_mtime_ns for path in copy.iterdir()} == {marks.MARK}


def test_files_that_are_gone_short_or_linked(copied: tuple[Path, Path, dict[str, int]]) -> None:
    model, copy, sizes = copied
    (copy / "a").unlink()
    os.truncate(copy / "b", 3)
    os.utime(copy / "b", ns=(marks.MARK, marks.MARK))
    os.link(copy / "c", copy.parent / "other name")
    marks.restore(str(copy), str(model), sizes)
    (copy.parent / "other name").write_text("somebody else's")
    assert content(copy) == content(model)


def test_more_than_files_is_unfit(copied: tuple[Path, Path, dict[str, int]], tmp_path: Path) -> None:
    model, copy, sizes = copied
    (copy / "directory").mkdir()
    with pytest.raises(marks.CannotRestore):
        marks.restore(str(copy), str(model), sizes)
    with pytest.raises(marks.CannotRestore):
        marks.sizes(str(copy))
    (tmp_path / "link").symlink_to(model)
    with pytest.raises(marks.CannotRestore):
        marks.stamp(str(tmp_path / "link"))
    assert content(model).keys() == {"a", "b", "c"}
    with pytest.raises(marks.CannotRestore):
        marks.move(str(copy), str(model))
