"""The storage of data: the requested one, or an error with a cure."""

import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servicectx import HomeError, InvalidOption, PostgresDetails, SetupFailed, managed
from servicectx.state import storage
from servicectx.testing import FakeService

ROOT = os.geteuid() == 0
GIB = 1 << 30


@pytest.fixture
def place(home: Path) -> Iterator[Path]:
    """A directory that every account can reach."""
    path = Path(tempfile.mkdtemp(prefix="storage-", dir=home.parent))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def data_of(**arguments: Any) -> Path:
    """The data directory of a Postgres with these arguments; it is removed when the service ends."""
    with managed("postgres", scope="private", **arguments) as pg:
        with psycopg.connect(pg.url) as connection:
            row = connection.execute("show data_directory").fetchone()
        assert row is not None
        found = Path(row[0])
        assert found.is_dir()
    assert not found.exists()
    return found.parents[1]  # above the directory that belongs to the server


# -- the requested storage ---------------------------------------------------------------------------------------


def test_in_memory() -> None:
    assert storage.is_memory(data_of(storage="memory").parent)


def test_on_disk() -> None:
    assert not storage.is_memory(data_of(storage="disk").parent)


def test_in_a_directory_which_is_left_as_it_was(place: Path) -> None:
    assert data_of(storage=str(place)).parent == place / "servicectx-data"
    assert data_of(storage=place).parent == place / "servicectx-data", "a path will do"
    assert list(place.iterdir()) == []


def test_in_a_directory_that_everybody_can_write_to_if_names_are_safe_there(place: Path) -> None:
    place.chmod(0o1777)
    with managed(FakeService, storage=place) as fake:
        (data,) = place.glob("servicectx-data/*-*")
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert fake.ask("SET a 1") == "1"


def test_a_relative_directory_is_meant_from_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "here").mkdir(mode=0o711)
    monkeypatch.chdir(place)
    assert data_of(storage="here").parent == place / "here" / "servicectx-data"


def test_without_a_wish_data_stay_below_the_home(home: Path) -> None:
    assert data_of().parent == home / "servicectx-home" / "data"


# -- storage as part of the key ----------------------------------------------------------------------------------


def test_a_wish_is_part_of_the_key(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [managed("redis", storage=value).key for value in (None, "memory", "disk", str(place))]
    assert len(set(keys)) == 4
    assert managed("redis", storage=place).key == keys[3]
    monkeypatch.setenv("SERVICECTX_STORAGE", "disk")
    assert managed("redis").key == keys[2], "the variable gives the same key"
    assert managed("redis", storage="memory").key == keys[1], "the argument comes first"


def test_in_the_project_s_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "deeper").mkdir(mode=0o711)
    (place / "deeper" / "data").mkdir(mode=0o711)
    file = place / "deeper" / "pyproject.toml"
    file.write_text('[tool.servicectx]\none = {service = "redis", storage = "data"}\ntwo = {service = "redis"}\n')
    monkeypatch.chdir(place / "deeper")
    lease = managed("one")
    assert lease.key == managed("redis", name="one", storage=place / "deeper" / "data").key
    with lease:
        assert list((place / "deeper" / "data").iterdir()) != []
    monkeypatch.setenv("SERVICECTX_STORAGE", "memory")
    assert managed("one").key == managed("redis", name="one", storage="memory").key


def test_on_the_command_line(place: Path) -> None:
    for options in (["--storage", str(place)], ["--set", f"redis.storage={place}"]):
        look = f"import os; print(len(os.listdir({str(place)!r})))"
        command = ["run", "-q", "redis", *options, "--", sys.executable, "-c", look]
        done = subprocess.run([sys.executable, "-m", "servicectx", *command], capture_output=True, text=True)
        assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)
        assert list(place.iterdir()) == []


# -- errors ------------------------------------------------------------------------------------------------------


def refused(**arguments: Any) -> HomeError:
    with pytest.raises(HomeError) as caught, managed("postgres", **arguments):
        pass
    assert str(caught.value) == f"{caught.value.path}: {caught.value.problem}\n{caught.value.cure}"
    return caught.value


def test_words_that_are_no_directory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    error = refused(storage="ram")
    assert error.path == str(place / "ram")
    assert "not a directory" in error.problem
    assert '"memory", "disk"' in error.cure


@pytest.mark.parametrize("value", [True, 5, ""])
def test_what_is_no_place_at_all(value: Any) -> None:
    with pytest.raises(InvalidOption, match='neither "memory" nor "disk"'):
        managed("postgres", storage=value)


def test_a_directory_that_others_can_write_to(place: Path) -> None:
    place.chmod(0o777)
    error = refused(storage=place)
    assert "others can write to it (mode 0777)" in error.problem
    assert error.cure == f"chmod go-w {place}"


def test_a_directory_that_cannot_be_written_to(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != place)  # root may write everywhere
    with pytest.raises(HomeError, match="this user cannot write there"):
        storage.data_root(1, None, str(place))


def test_a_directory_that_the_server_s_account_cannot_get_to(place: Path) -> None:
    (place / "closed" / "open").mkdir(parents=True)
    (place / "closed").chmod(0o700)
    with pytest.raises(HomeError) as caught:
        storage.data_root(1, "nobody", str(place / "closed" / "open"))
    assert f"the server runs as nobody, and this account cannot pass {place / 'closed'}" in caught.value.problem
    assert f"chmod o+x {place / 'closed'}" in caught.value.cure
    assert storage.data_root(1, None, str(place / "closed" / "open")) == place / "closed" / "open" / "servicectx-data"


def test_no_memory_at_all(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "is_memory", lambda _: False)
    with pytest.raises(HomeError, match=r'needs a tmpfs, and this path is not on one\n.*storage="disk".*--shm-size'):
        storage.data_root(1, None, "memory")


def test_no_disk_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "is_memory", lambda _: True)
    with pytest.raises(HomeError, match=r"needs a disk, and these paths are in memory\n.*SERVICECTX_HOME"):
        storage.data_root(1, None, "disk")


def test_no_room(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory needs head room: four times the size of an empty service, plus the restored bytes."""
    monkeypatch.setattr(storage, "free", lambda _: 5 * GIB)
    assert storage.is_memory(storage.data_root(GIB, None, "memory"))
    assert storage.data_root(GIB, None, str(place), 3 * GIB) == place / "servicectx-data"
    for need, restored, preference, required in [
        (2 * GIB, 0, "memory", 8192),
        (GIB, 2 * GIB, "memory", 6144),
        (GIB, 4 * GIB, "disk", 5120),
        (GIB, 4 * GIB, str(place), 5120),
    ]:
        with pytest.raises(HomeError, match=f"5120 MiB are free.*{required} MiB|{required} MiB.*5120 MiB are free"):
            storage.data_root(need, None, preference, restored)


def test_by_default_data_that_are_too_large_for_memory_go_to_disk(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICECTX_HOME")
    (place / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / "run"))
    monkeypatch.setattr(storage, "free", lambda _: 5 * GIB)
    assert storage.data_root(GIB, None).parent == storage.MEMORY
    assert storage.data_root(GIB, None, None, 2 * GIB) == place / "run" / "servicectx" / "data"


def test_memory_that_the_machine_does_not_have_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_spare_memory", lambda: 1000)
    assert storage.free(storage.MEMORY) <= 1000
    assert storage.free(Path("/")) > 1000


# -- which file system it is ---------------------------------------------------------------------------------------


def test_the_kind_of_a_file_system_is_the_one_on_top(place: Path) -> None:
    assert storage.is_memory(storage.MEMORY)
    assert not storage.is_memory(Path("/proc"))
    (place / "a b").mkdir()
    if ROOT and subprocess.run(["mount", "-t", "tmpfs", "none", place / "a b"], check=False).returncode == 0:
        try:
            assert storage.is_memory(place / "a b")
        finally:
            subprocess.run(["umount", place / "a b"], check=True)


def overflow(pg: PostgresDetails) -> None:
    with psycopg.connect(pg.url) as connection:
        connection.execute("create table large as select repeat('x', 1000) from generate_series(1, 200000)")


def test_data_that_grow_too_large_fail_the_set_up_and_leave_nothing(place: Path) -> None:
    """Without the right to mount, a limit on the size of files stands in for a full disk."""
    (place / "tiny").mkdir(mode=0o711)
    arguments = ["-t", "tmpfs", "-o", "size=100M,mode=0711", "none", str(place / "tiny")]
    mounted = ROOT and subprocess.run(["mount", *arguments], check=False).returncode == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 20, limits[1]))
    try:
        with (
            pytest.raises(SetupFailed, match=r"No space left|File too large"),
            managed("postgres", setup=overflow, storage=place / "tiny"),
        ):
            pass
        assert list((place / "tiny").iterdir()) == []
        (place / "tiny" / "filler").write_bytes(bytes(40 << 20))
        if mounted:
            assert "are free there, and the data needs 64 MiB" in refused(storage=place / "tiny").problem
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if mounted:
            subprocess.run(["umount", place / "tiny"], check=True)
