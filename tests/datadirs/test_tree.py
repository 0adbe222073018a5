"""Copies of trees, and prepared copies: complete or not at all."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest

from servicectx.datadirs import file_copy, prepared, scratch
from servicectx.datadirs import tree as copying


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "empty").mkdir(mode=0o750)
    (source / "one").write_bytes(b"1" * 1000)
    (source / "deep" / "script").write_text("#!/bin/sh\n")
    (source / "deep" / "script").chmod(0o755)
    (source / "deep" / "er" / "big").write_bytes(os.urandom(3 << 20))
    (source / "nothing").touch(mode=0o400)
    (source / "link").symlink_to("deep/script")
    (source / "dangling").symlink_to("/no/such/file")
    return source


def listing(place: Path) -> dict[str, tuple[int, bytes | str | None]]:
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for path in sorted(place.rglob("*")):
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(place))] = stat.S_IMODE(path.lstat().st_mode), content
    return found


def test_a_copy_is_the_same(tree: Path, tmp_path: Path) -> None:
    size = copying.copy_tree(tree, tmp_path / "copy").size
    assert listing(tmp_path / "copy") == listing(tree)
    assert size == copying.measure(tree) == (4, 1000 + 10 + (3 << 20))


@pytest.mark.parametrize("workers", [2, 3])
def test_many_hands_make_the_same_copy(
    workers: int, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "WORTHWHILE", 1)
    copied = copying.copy_tree(tree, tmp_path / "copy", workers=workers)
    assert listing(tmp_path / "copy") == listing(tree)
    assert copied.size == copying.measure(tree)
    assert copied == copying.copy_tree(tree, tmp_path / "another"), "the order of files does not matter"
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("failing", [0, 1])
def test_one_hand_that_fails_fails_the_copy(
    failing: int, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_file, parent = copying._copy_file, os.getpid()

    def fail(*arguments: Any) -> Any:
        if (os.getpid() == parent) == (failing == 0):
            raise OSError(errno.ENOSPC, "full")
        return copy_file(*arguments)

    monkeypatch.setattr(copying, "WORTHWHILE", 1)
    monkeypatch.setattr(copying, "_copy_file", fail)
    with pytest.raises(OSError, match=r"full|could not be copied"):
        copying.copy_tree(tree, tmp_path / "copy", workers=2)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_strict_umask_changes_nothing(tree: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        copying.copy_tree(tree, tmp_path / "copy")
    finally:
        os.umask(before)
    assert listing(tmp_path / "copy") == listing(tree)


def test_a_copy_across_file_systems_is_the_same(tree: Path, run_directory: Path) -> None:
    copy = run_directory / f"copy-{os.getpid()}"
    try:
        copying.copy_tree(tree, copy)
        assert listing(copy) == listing(tree)
    finally:
        shutil.rmtree(copy)


def test_a_linked_copy_shares_files_but_not_directories(tree: Path, tmp_path: Path) -> None:
    copied = copying.copy_tree(tree, tmp_path / "copy", link=True)
    assert copied.size == copying.measure(tree)
    assert listing(tmp_path / "copy") == listing(tree)
    assert (tmp_path / "copy" / "one").samefile(tree / "one")
    (tmp_path / "copy" / "deep" / "more").touch()
    assert not (tree / "deep" / "more").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")
def test_a_file_that_another_user_can_write_is_not_linked(tree: Path, tmp_path: Path) -> None:
    os.chown(tree / "one", 65534, -1)
    (tree / "deep" / "open").touch()
    (tree / "deep" / "open").chmod(0o666)
    copying.copy_tree(tree, tmp_path / "copy", link=True)
    for name in ("one", "deep/open"):
        assert not (tmp_path / "copy" / name).samefile(tree / name)
        assert (tmp_path / "copy" / name).stat().st_uid == 0
        assert (tmp_path / "copy" / name).read_bytes() == (tree / name).read_bytes()


def test_an_existing_target_is_not_touched(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(FileExistsError):
        copying.copy_tree(tree, tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


def test_blocks_are_shared_where_the_file_system_can(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """copy_file_range shares them, for a whole file in one call."""
    counts: list[int] = []
    original = file_copy.copy_range

    def copy_range(reading: int, writing: int, count: int) -> int:
        counts.append(count)
        return original(reading, writing, count)

    monkeypatch.setattr(file_copy, "copy_range", copy_range)
    copying.copy_tree(tree, tmp_path / "copy")
    assert counts == [3 << 20], "small files are read and written"


def refuse(*_: int) -> int:
    raise OSError(errno.EXDEV, "another file system")


def copy_half(reading: int, writing: int, count: int) -> int:
    if count > 5000:
        return os.sendfile(writing, reading, None, count - 5000)
    raise OSError(errno.EIO, "no more")


CONTENTS = {
    "nothing": b"",
    "one byte": b"x",
    "all but a chunk": b"x" * ((1 << 16) - 1),
    "a chunk": b"x" * (1 << 16),
    "a bit more": b"x" * ((1 << 16) + 1),
    "much": os.urandom(3 << 20),
    "zeros": bytes(1 << 20),
    "few zeros": bytes(100),
    "zeros first": bytes(1 << 17) + b"x",
    "zeros last": b"x" * (1 << 16) + bytes((1 << 17) + 1000),
    "zeros between": b"x" + bytes(1 << 18) + b"y",
}


@pytest.mark.parametrize("way", [file_copy.copy_range, refuse, copy_half])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_pouring_is_complete_in_any_way(
    content: bytes, way: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_copy, "copy_range", way)
    (tmp_path / "from").write_bytes(content)
    with open(tmp_path / "from", "rb") as reading, open(tmp_path / "to", "wb") as writing:
        checksum = file_copy.copy_contents(reading.fileno(), writing.fileno(), len(content), 5)
    assert (tmp_path / "to").read_bytes() == content
    monkeypatch.setattr(file_copy, "copy_range", refuse)
    with open(tmp_path / "from", "rb") as reading, open(tmp_path / "again", "wb") as writing:
        assert file_copy.copy_contents(reading.fileno(), writing.fileno(), len(content), 5) == checksum


def test_zeros_become_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_copy, "copy_range", refuse)
    (tmp_path / "from").write_bytes(b"x" * 100 + bytes(8 << 20))
    with open(tmp_path / "from", "rb") as reading, open(tmp_path / "to", "wb") as writing:
        file_copy.copy_contents(reading.fileno(), writing.fileno(), 100 + (8 << 20), 0)
    assert (tmp_path / "to").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("at", [0, 70_000, 200_000])
def test_zeros_elsewhere_are_something_else(at: int, tmp_path: Path) -> None:
    """The checksum of a chunk of zeros includes its position."""
    sums: set[int] = set()
    for content in (bytearray(5 << 16), bytearray(5 << 16)):
        content[at if sums else 300_000] = 1
        (tmp_path / "tree").mkdir(exist_ok=True)
        (tmp_path / "tree" / "file").write_bytes(content)
        sums.add(copying.copy_tree(tmp_path / "tree", tmp_path / f"copy{len(sums)}").checksum)
    assert len(sums) == 2


def test_what_is_kept_can_be_brought_often(tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "templates" / "one"
    prepared.store(tree, place, secret="abc=def")
    for name in ("first", "second"):
        manifest = prepared.restore(place, tmp_path / name)
        assert manifest is not None
        assert manifest["secret"] == "abc=def"
        assert listing(tmp_path / name) == listing(tree)
    assert prepared.is_prepared(place)


def test_nothing_kept_is_nothing_brought(tmp_path: Path) -> None:
    assert prepared.restore(tmp_path / "none", tmp_path / "target") is None
    assert not prepared.is_prepared(tmp_path / "none")
    assert not (tmp_path / "target").exists()


def damage_truncate(place: Path) -> None:
    os.truncate(place / "deep" / "er" / "big", 100)


def damage_remove(place: Path) -> None:
    (place / "one").unlink()


def damage_add(place: Path) -> None:
    (place / "deep" / "more").touch()


def damage_note(place: Path) -> None:
    (place / ".servicectx").write_text("nonsense")


def damage_no_note(place: Path) -> None:
    (place / ".servicectx").unlink()


def damage_all(place: Path) -> None:
    shutil.rmtree(place)
    place.mkdir()


def damage_flip(place: Path) -> None:
    flip(place / "one", 10)


def damage_flip_in_a_big_one(place: Path) -> None:
    flip(place / "deep" / "er" / "big", 2_000_000)


def damage_zero(place: Path) -> None:
    (place / "deep" / "er" / "big").write_bytes(bytes(3 << 20))


def damage_swap(place: Path) -> None:
    """The same names and the same contents, but exchanged."""
    (place / "deep" / "script").rename(place / "aside")
    (place / "one").rename(place / "deep" / "script")
    (place / "aside").rename(place / "one")


def damage_link(place: Path) -> None:
    (place / "link").unlink()
    (place / "link").symlink_to("one")


def damage_folder(place: Path) -> None:
    (place / "empty").rmdir()


def damage_flip_note(place: Path) -> None:
    flip(place / ".servicectx", 10)


def damage_cut_note(place: Path) -> None:
    text = (place / ".servicectx").read_text()
    (place / ".servicectx").write_text("".join(text.splitlines(keepends=True)[:-1]))


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


DAMAGES = [damage for name, damage in list(globals().items()) if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_is_not_brought_and_is_replaced(damage: object, tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "one"
    prepared.store(tree, place)
    assert callable(damage)
    damage(place)
    assert prepared.restore(place, tmp_path / "target") is None
    assert not (tmp_path / "target").exists()
    assert not prepared.is_prepared(place)
    prepared.store(tree, place)
    assert prepared.is_prepared(place)
    assert prepared.restore(place, tmp_path / "target") is not None
    assert os.listdir(place.parent) == ["one"]


def test_a_good_copy_is_not_replaced(tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "one"
    prepared.store(tree, place, secret="first")
    prepared.store(tree, place, secret="second")
    manifest = prepared.restore(place, tmp_path / "target")
    assert manifest is not None
    assert manifest["secret"] == "first"
    assert os.listdir(place.parent) == ["one"]


def test_many_may_keep_and_bring_at_once(tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "one"
    script = (
        "import sys; from pathlib import Path; from servicectx.datadirs import tree, prepared\n"
        "source, place, target = map(Path, sys.argv[1:])\n"
        "for round in range(10):\n"
        "    prepared.store(source, place)\n"
        "    assert prepared.restore(place, target.with_name(f'{target.name}{round}')) is not None\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tree), str(place), str(tmp_path / f"target{n}-")])
        for n in range(4)
    ]
    assert [process.wait(60) for process in processes] == [0] * 4
    expected = listing(tree)
    assert all(listing(target) == expected for target in tmp_path.glob("target*"))
    assert os.listdir(place.parent) == ["one"]


def test_half_made_copies_of_the_dead_are_dropped(tree: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with scratch.half_made(cache) as living:
        living.mkdir()
        dead = cache / ".half-0123456789abcdef"
        dead.mkdir()
        dead.with_name(f"{dead.name}.lock").touch()
        prepared.store(tree, cache / "one")
        assert sorted(os.listdir(cache)) == [living.name, f"{living.name}.lock", "one"]
    assert os.listdir(cache) == ["one"]


def test_a_cache_that_cannot_be_written_is_done_without(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    prepared.store(tree, tmp_path / "file" / "cache" / "one")
    assert not prepared.is_prepared(tmp_path / "file" / "cache" / "one")


def test_a_copy_that_vanishes_meanwhile_is_not_brought(tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "one"
    for n in range(20):
        prepared.store(tree, place)
        thread = threading.Thread(target=prepared.drop, args=[place])
        thread.start()
        manifest = prepared.restore(place, tmp_path / f"target{n}")
        thread.join()
        assert (manifest is None) == (not (tmp_path / f"target{n}").exists())
        assert manifest is None or listing(tmp_path / f"target{n}") == listing(tree)


def test_a_full_disk_is_an_error_and_no_half_copy(tree: Path, tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path; from servicectx.datadirs import tree, prepared\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "source, place, target = map(Path, sys.argv[1:])\n"
        "prepared.store(source, place)\n"
        "assert not prepared.is_prepared(place)\n"
        "try:\n"
        "    tree.copy_tree(source, target)\n"
        "except OSError as error:\n"
        "    sys.exit(error.errno)\n"
    )
    command = [sys.executable, "-c", script, str(tree), str(tmp_path / "cache" / "one"), str(tmp_path / "target")]
    assert subprocess.run(command, check=False).returncode == errno.EFBIG
    assert os.listdir(tmp_path / "cache") == []


def forge(content: bytes, wanted: int) -> bytes:
    """`content` with its last four bytes replaced so that it has that CRC: a change that no checksum shows."""
    table = [zlib.crc32(bytes([number])) ^ zlib.crc32(b"\0") for number in range(256)]
    register, indices = wanted ^ 0xFFFFFFFF, []
    for _ in range(4):
        index = next(n for n in range(256) if table[n] >> 24 == register >> 24)
        indices.append(index)
        register = ((register ^ table[index]) << 8 & 0xFFFFFFFF) | index
    state, tail = zlib.crc32(content[:-4]) ^ 0xFFFFFFFF, bytearray()
    for index in reversed(indices):
        tail.append((state ^ index) & 0xFF)
        state = table[index] ^ (state >> 8)
    return content[:-4] + bytes(tail)


def test_a_change_that_keeps_checksum_size_and_time_is_seen(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"harmless" * 100)
    place = tmp_path / "cache" / "one"
    prepared.store(tmp_path / "source", place)
    before, file = (place / "file").stat(), place / "file"
    start = zlib.crc32(file.read_bytes())
    forged = forge(b"evil" + file.read_bytes()[4:], start)
    assert (zlib.crc32(forged), len(forged)) == (start, 800)
    file.write_bytes(forged)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert prepared.restore(place, tmp_path / "target") is None
    assert not place.exists()


def test_a_cache_that_was_moved_is_read_once_and_then_known(tree: Path, tmp_path: Path) -> None:
    place, moved = tmp_path / "cache" / "one", tmp_path / "other" / "one"
    prepared.store(tree, place, secret="s")
    shutil.copytree(place, moved, symlinks=True)
    notes = [(moved / ".servicectx").read_text()]
    for number in range(2):
        assert prepared.restore(moved, tmp_path / f"target{number}") is not None
        assert listing(tmp_path / f"target{number}") == listing(tree)
        notes.append((moved / ".servicectx").read_text())
    assert notes[0] != notes[1] == notes[2], "the stamps belong to the moved files"
    assert os.listdir(moved.parent) == ["one"]


def test_a_moved_cache_with_another_content_is_dropped(tree: Path, tmp_path: Path) -> None:
    place, moved = tmp_path / "cache" / "one", tmp_path / "other" / "one"
    prepared.store(tree, place)
    shutil.copytree(place, moved, symlinks=True)
    (moved / "deep" / "script").chmod(0o777)
    assert prepared.restore(moved, tmp_path / "target") is None
    assert not moved.exists()
