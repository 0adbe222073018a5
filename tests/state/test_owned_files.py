"""Files that an instance owns: no content of the lists and no entry at their paths makes the removal hang or raise."""

import os
from pathlib import Path

import pytest

from servicectx.state import owned_files


def test_what_was_handed_out_goes_unless_it_was_changed(tmp_path: Path) -> None:
    files = [tmp_path / "same.json", tmp_path / "changed.json", tmp_path / os.fsdecode(b"odd\xff \x0b.json")]
    for file in files:
        owned_files.note(tmp_path, file, "{}")
        file.write_text("{}")
    files[1].write_text('{"mine": 1}')
    assert owned_files.noted(tmp_path) == [files[0], files[2]]
    owned_files.remove_owned(tmp_path)
    assert [file.exists() for file in files] == [False, True, False]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\n\xff /x\n", b"\x00 \x00", b"abc", bytes(range(256))])
def test_a_list_of_any_bytes_is_read(content: bytes, tmp_path: Path) -> None:
    for name in ("handouts", owned_files.PATTERNS):
        (tmp_path / name).write_bytes(content)
    owned_files.remove_owned(tmp_path)
    assert owned_files.noted(tmp_path) == []


@pytest.mark.parametrize("kind", ["fifo", "directory", "zero", "gigabyte"])
def test_a_list_that_is_no_file_is_empty(kind: str, tmp_path: Path) -> None:
    for path in (tmp_path / "handouts", tmp_path / owned_files.PATTERNS):
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        elif kind == "zero":
            path.symlink_to("/dev/zero")
        else:
            with path.open("wb") as file:
                file.truncate(2**30)
    owned_files.remove_owned(tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_what_took_the_place_of_a_file_stays(kind: str, tmp_path: Path) -> None:
    file, other = tmp_path / "details.json", tmp_path / "other"
    file.write_text("{}")
    other.write_text("{}")
    owned_files.note(tmp_path, file, "{}")
    file.unlink()
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "link":
        file.symlink_to(other)
    else:
        file.mkdir()
    owned_files.remove_owned(tmp_path)
    assert os.path.lexists(file)
    assert other.exists()
