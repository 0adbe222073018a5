"""The cache and its limit: the oldest copies are dropped, copies in progress stay correct, users can list and clear."""

import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from servicectx import ConfigError, cache_entries, clear_cache, managed
from servicectx.datadirs import prepared, scratch
from servicectx.datadirs.cache import SNAPSHOTS, SPARES, TEMPLATES, Cache
from servicectx.state import paths
from tests.cli.command import cli

SIZE = 100_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "deep").mkdir(parents=True)
    for number in range(10):
        (tmp_path / "source" / "deep" / str(number)).write_bytes(os.urandom(SIZE // 10))
    return tmp_path / "source"


@pytest.fixture
def bounded(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10 * SIZE)


def fill(cache: Cache, source: Path, kind: str, *names: str) -> None:
    """Store copies that differ in age by an hour; the first is the oldest."""
    for age, name in enumerate(reversed(names)):
        place = cache.place(kind, name)
        prepared.store(source, place, secret="s")
        used = time.time() - 3600 * (age + 1)
        os.utime(place / ".servicectx", (used, used))


def names(cache: Cache) -> list[str]:
    return sorted(entry.name for entry in cache.entries())


def test_the_oldest_goes_first(bounded: Cache, source: Path) -> None:
    fill(bounded, source, SNAPSHOTS, "old", "older-than-new", "new")
    limited = bounded._replace(limit=3 * SIZE)
    limited.keep(source, limited.place(TEMPLATES, "one-more"), "")
    assert names(bounded) == ["new", "older-than-new", "one-more"]
    prepared.restore(bounded.place(SNAPSHOTS, "older-than-new"), source.parent / "brought")
    limited.keep(source, limited.place(TEMPLATES, "another"), "")
    assert names(bounded) == ["another", "older-than-new", "one-more"], "a copy that was used is not old"


def test_spares_go_before_all_else(bounded: Cache, source: Path) -> None:
    fill(bounded, source, SNAPSHOTS, "oldest")
    prepared.store(source, bounded.place(SPARES, "spare"))
    bounded._replace(limit=int(1.5 * SIZE)).trim()
    assert names(bounded) == ["oldest"]


def test_what_is_larger_than_all_may_be_is_not_kept_and_drives_nobody_out(bounded: Cache, source: Path) -> None:
    fill(bounded, source, SNAPSHOTS, "small")
    (source / "big").write_bytes(bytes(10 * SIZE))
    bounded.keep(source, bounded.place(SNAPSHOTS, "big"), "")
    assert names(bounded) == ["small"]


def test_with_no_room_at_all_nothing_is_kept(bounded: Cache, source: Path) -> None:
    nothing = bounded._replace(limit=0)
    nothing.keep(source, nothing.place(SNAPSHOTS, "one"), "")
    assert names(bounded) == []


def test_damaged_ones_count_and_go_too(bounded: Cache, source: Path) -> None:
    fill(bounded, source, SNAPSHOTS, "damaged", "good")
    (bounded.place(SNAPSHOTS, "damaged") / ".servicectx").write_text("nonsense")
    os.utime(bounded.place(SNAPSHOTS, "damaged") / ".servicectx", (time.time() - 7200,) * 2)
    assert bounded.entries()[0].size > SIZE
    bounded._replace(limit=int(1.5 * SIZE)).trim()
    assert names(bounded) == ["good"]


HALF = ".half-0123456789abcdef"


@pytest.mark.parametrize("mark", [scratch._MARK, scratch._MARK[:10], ""])
def test_what_the_dead_left_half_made_goes(bounded: Cache, source: Path, mark: str) -> None:
    """The kind of the entry does not matter: a killed process may have left a file, and a link is not followed."""
    fill(bounded, source, SNAPSHOTS, "whole")
    folder = bounded.path / SNAPSHOTS
    for number in range(4):
        (folder / f"{HALF[:-1]}{number}.lock").write_text(mark)
    (folder / f"{HALF[:-1]}0").mkdir()
    (folder / f"{HALF[:-1]}1").touch()
    (folder / f"{HALF[:-1]}2").symlink_to(source)
    bounded.trim()
    assert os.listdir(folder) == ["whole"]
    assert list(source.iterdir())
    (folder / f"{HALF}.lock").write_text(mark)
    bounded.clear()
    assert not folder.exists()


def at_first_lock(monkeypatch: pytest.MonkeyPatch, event: Callable[[], object]) -> None:
    """Run `event` once, right before the next lock is taken."""
    lock, events = fcntl.flock, [event]

    def taken(descriptor: int, kind: int) -> None:
        if events:
            events.pop()()
        lock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", taken)


def test_a_name_that_a_living_maker_takes_meanwhile_stays(bounded: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remover has opened the lock file of a dead maker; another remover was faster, and a maker took the name."""
    folder = bounded.path / SNAPSHOTS
    folder.mkdir(parents=True)
    lock, entry = folder / f"{HALF}.lock", folder / HALF
    lock.write_text(scratch._MARK)

    def replaced() -> None:
        lock.unlink()
        lock.write_text(scratch._MARK)
        entry.mkdir()

    at_first_lock(monkeypatch, replaced)
    scratch.remove_abandoned(folder)
    assert sorted(os.listdir(folder)) == [HALF, f"{HALF}.lock"]
    scratch.remove_abandoned(folder)
    assert os.listdir(folder) == []


def test_a_file_system_without_locks(bounded: Cache, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is stored there, nothing is left, and copies that another machine stored are removed."""
    fill(bounded, source, SNAPSHOTS, "whole", "other")

    def refused(descriptor: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    prepared.store(source, bounded.place(SNAPSHOTS, "late"))
    assert sorted(os.listdir(bounded.path / SNAPSHOTS)) == ["other", "whole"]
    assert sorted(entry.name for entry in bounded.clear()) == ["other", "whole"]
    assert not (bounded.path / SNAPSHOTS).exists()


def test_the_lock_stays_as_long_as_its_entry(bounded: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that cannot be removed now is removed by the next user of the folder."""
    folder = bounded.path / SNAPSHOTS
    with monkeypatch.context() as broken:
        broken.setattr(scratch, "remove_tree", str)
        with scratch.half_made(folder) as path:
            path.mkdir()
    assert len(os.listdir(folder)) == 2
    scratch.remove_abandoned(folder)
    assert os.listdir(folder) == []


def test_only_our_own_entries_are_removed(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """A user's files in the cache survive a start, a trim and a clear, whatever their names end with."""
    monkeypatch.setenv("SERVICECTX_CACHE", str(tmp_path / "cache"))
    with managed("postgres"):
        pass
    cache = Cache(paths.cache(), 10 * SIZE)
    foreign = [".backup.2023", "snapshots/.backup.2023", "snapshots/photos.2024", "templates/mine", f"templates/{HALF}"]
    foreign += ["templates/mine-0123456789abcdef", f"{HALF}.lock.d", f"spares/.half-{'0' * 15}.lock", f"{HALF}.lock"]
    files = [cache.path / name / "precious" for name in foreign]
    files += [cache.path / TEMPLATES / name for name in (".half-00000000000000ff.lock", ".one.999999", ".x.tmp")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("precious")
        os.utime(file.parent, (0, 0))
        os.utime(file, (0, 0))
    (cache.path / TEMPLATES / ".half-00000000000000ff").mkdir()
    with managed("postgres", locale="C"):
        pass
    assert [cli("cache", option, cwd=tmp_path).returncode for option in ("--trim", "--clear")] == [0, 0]
    assert [str(file) for file in files if not file.exists()] == []
    assert (cache.path / TEMPLATES / ".half-00000000000000ff").is_dir()
    assert [entry.name for entry in cache.entries()] == ["mine-0123456789abcdef"], "the templates are removed"


def test_a_cache_that_is_not_there_is_empty(tmp_path: Path) -> None:
    nowhere = Cache(tmp_path / "nowhere", SIZE)
    assert nowhere.entries() == []
    nowhere.trim()
    assert nowhere.clear() == []
    assert not nowhere.path.exists()


STORM = """
import sys, random
from pathlib import Path
from servicectx.datadirs import prepared
from servicectx.datadirs.cache import Cache
source, path, target, size = sys.argv[1:]
cache = Cache(Path(path), 3 * int(size))
for round in range(60):
    place = cache.place("snapshots", str(random.randrange(6)))
    manifest = prepared.restore(place, Path(f"{target}-{round}"))
    if manifest is None:
        cache.keep(Path(source), place, "secret")
    else:
        assert manifest["secret"] == "secret"
        assert len(list(Path(f"{target}-{round}", "deep").iterdir())) == 10
"""


def test_many_keep_bring_and_make_room_at_once(bounded: Cache, source: Path, tmp_path: Path) -> None:
    """Each restored copy is complete or absent; at the end the limit holds, and no half-made copy is left."""
    command = [sys.executable, "-c", STORM, str(source), str(bounded.path)]
    processes = [subprocess.Popen([*command, str(tmp_path / f"target{number}"), str(SIZE)]) for number in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    restored = list(tmp_path.glob("target*"))
    assert restored
    for target in restored:
        assert sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) == SIZE
    bounded._replace(limit=3 * SIZE).trim()
    assert sum(entry.size for entry in bounded.entries()) <= 3 * SIZE
    assert not list(bounded.path.glob("*/.*"))


# -- from the outside ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "size"),
    [("", 2 << 30), ("0", 0), ("1000", 1000), ("500M", 500 << 20), ("1.5g", 3 << 29), ("2 K", 2048)],
)
def test_the_limit_in_the_environment(raw: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_CACHE_SIZE", raw)
    assert paths.cache_size() == size


@pytest.mark.parametrize("raw", ["much", "-1", "1T", "G", "nan", "inf", "1e40"])
def test_a_limit_that_is_none_is_refused_with_its_name(raw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_CACHE_SIZE", raw)
    with pytest.raises(ConfigError) as caught, managed("redis"):
        pass
    assert str(caught.value).startswith(f"SERVICECTX_CACHE_SIZE: invalid size {raw!r}: use bytes")


def test_starts_keep_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SERVICECTX_CACHE_SIZE", "50M")  # less than two
    with managed("postgres"):
        pass
    (first,) = cache_entries()
    with managed("postgres", locale="C"):
        pass
    (second,) = cache_entries()
    assert (first.kind, second.kind) == ("templates", "templates")
    assert first.name != second.name
    assert 20 << 20 < second.size < 50 << 20
    assert second.path.is_dir()
    assert clear_cache() == [second]
    assert cache_entries() == []
    monkeypatch.setenv("SERVICECTX_CACHE_SIZE", "0")
    runs: list[int] = []
    for _ in range(2):
        with managed("redis", setup=lambda redis: runs.append(redis.port), snapshot="one"):
            pass
    assert len(runs) == 2
    monkeypatch.setenv("SERVICECTX_CACHE_SIZE", "1M")
    with managed("postgres"):
        pass
    assert cache_entries() == []
    assert os.listdir(tmp_path / "cache") == ["servicectx-cache"]
    assert not list((tmp_path / "cache" / "servicectx-cache").glob("*/*"))
