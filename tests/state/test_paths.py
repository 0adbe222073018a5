"""The private directories: each is private or refused, with an error that gives the cure."""

import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servicectx import HomeError, managed
from servicectx.state import paths, storage
from servicectx.testing import FakeService
from tests.leftovers import files

ROOT = os.geteuid() == 0


@pytest.fixture
def scratch(home: Path) -> Iterator[Path]:
    """A directory that every account can reach; it is removed with any modes."""
    place = Path(tempfile.mkdtemp(prefix="paths-", dir=home.parent))
    place.chmod(0o711)
    yield place
    for path in [place, *place.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(place)


def found(place: Path) -> list[str]:
    """The entries below `place`, except locks."""
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.suffix != ".lock")


def refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> HomeError:
    monkeypatch.setenv("SERVICECTX_HOME", str(place))
    with pytest.raises(HomeError) as caught, managed(FakeService):
        pass
    assert caught.value.path.startswith(str(place))
    assert caught.value.cure in str(caught.value)
    return caught.value


# -- the home ----------------------------------------------------------------------------------------------------


def test_a_new_home_is_private(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_HOME", str(scratch / "a" / "b"))
    before = os.umask(0)
    try:
        with managed(FakeService):
            places = [scratch / "a" / "b", *(scratch / "a" / "b").rglob("*")]
            modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in places}
    finally:
        os.umask(before)
    assert len(modes) > 5
    assert {str(path): oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def test_a_relative_home_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERVICECTX_HOME", "instances")
    with managed(FakeService) as fake:
        assert fake.ask("SET a 1") == "1"
        assert (tmp_path / "instances").is_dir()


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702, 0o1777])
def test_a_home_that_others_can_write_is_refused(mode: int, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scratch / "home").mkdir()
    (scratch / "home").chmod(mode)
    error = refused(scratch / "home", monkeypatch)
    assert error.problem == f"others can write to it (mode {mode:04o})"
    assert f"chmod go-w {scratch / 'home'}" in error.cure
    assert list((scratch / "home").iterdir()) == []


def test_a_link_in_its_place_is_refused(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scratch / "elsewhere").mkdir()
    (scratch / "home").symlink_to(scratch / "elsewhere")
    assert "it is a symbolic link" in refused(scratch / "home", monkeypatch).problem
    assert list((scratch / "elsewhere").iterdir()) == []


def test_a_dangling_link_in_its_place_is_refused(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scratch / "home").symlink_to(scratch / "elsewhere")
    assert "it is a symbolic link" in refused(scratch / "home", monkeypatch).problem
    assert not (scratch / "elsewhere").exists()


def test_a_file_in_its_place_is_refused(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scratch / "home").write_text("mine")
    assert "it is not a directory" in refused(scratch / "home", monkeypatch).problem
    assert (scratch / "home").read_text() == "mine"


def test_a_file_on_the_way_is_named(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scratch / "file").touch()
    assert "it cannot be made: Not a directory" in refused(scratch / "file" / "home", monkeypatch).problem


def test_the_place_for_data_is_checked_too(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_HOME", str(scratch / "home"))
    (paths.home() / "data").symlink_to(scratch)
    assert "it is a symbolic link" in refused(scratch / "home", monkeypatch).problem


def test_somebody_else_s_home_is_refused(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root gives a directory away; another user takes a directory of root's."""
    if ROOT:
        (scratch / "home").mkdir(mode=0o700)
        os.chown(scratch / "home", 12345, -1)
        owner, place = 12345, scratch / "home"
    else:
        owner, place = 0, Path("/usr")
    assert refused(place, monkeypatch).problem == f"it belongs to user id {owner}, not to you"


def test_a_home_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "it cannot be made" in refused(Path("/proc/servicectx"), monkeypatch).problem


# -- no room -----------------------------------------------------------------------------------------------------


@contextmanager
def tiny_disk(place: Path, size: int) -> Iterator[None]:
    """A file system of `size` bytes at `place`, which `fill` can fill; an ordinary user gets a plain directory."""
    place.mkdir(mode=0o700)
    mounted = ROOT and _mount("-t", "tmpfs", "-o", f"size={size},mode=0700", "none", str(place))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    if not os.path.ismount(place):  # a limit on file sizes gives writers an error, too
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        with (place / "filler").open("wb", buffering=0) as file:
            while file.write(b"\0" * 4096):
                pass
    except OSError:
        pass


def make_room(place: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    (place / "filler").unlink()


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0


def test_a_full_disk_is_named(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = scratch / "tiny"
    with tiny_disk(place, 64 * 1024):
        fill(place)
        error = refused(place, monkeypatch)
        assert "free some space" in error.cure
        own = ["servicectx-home", "servicectx-home/SERVICECTX.TAG", "servicectx-home/data"]
        assert set(found(place)) <= {"filler", *own, "servicectx-home/data/SERVICECTX.TAG"}


def test_a_disk_that_fills_up_meanwhile_takes_nothing_with_it(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = scratch / "tiny"
    with tiny_disk(place, 512 * 1024):
        monkeypatch.setenv("SERVICECTX_HOME", str(place))
        with managed(FakeService) as fake:
            fill(place)
            assert fake.ask("SET a 1") == "1"
        make_room(place)
        assert files(place) == []
        with managed(FakeService) as fake:
            assert fake.ask("GET a") == ""


# -- the cache is a convenience ------------------------------------------------------------------------------------


def cache_read_only(place: Path) -> None:
    place.mkdir(mode=0o555)


def cache_is_a_file(place: Path) -> None:
    place.touch()


def cache_dangles(place: Path) -> None:
    place.symlink_to(place.parent / "nowhere" / "at-all")


@pytest.mark.parametrize("make", [cache_read_only, cache_is_a_file, cache_dangles])
def test_a_bad_cache_is_done_without(make: object, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(make)
    make(scratch / "cache")
    mounted = (scratch / "cache").is_dir() and ROOT and _mount("--bind", "-r", *[str(scratch / "cache")] * 2)
    monkeypatch.setenv("SERVICECTX_CACHE", str(scratch / "cache"))
    try:
        with managed("postgres") as postgres:
            assert postgres.version
    finally:
        if mounted:
            subprocess.run(["umount", str(scratch / "cache")], check=True)
    assert not list((scratch / "cache").rglob("templates"))


# -- the default paths -------------------------------------------------------------------------------------------

LOOK = "from servicectx.state import paths; print(paths.home(), paths.cache(), sep='\\n')"


def defaults(**environment: str) -> list[Path]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOOK],
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [Path(line) for line in done.stdout.splitlines()]


def test_xdg_variables_are_followed(scratch: Path) -> None:
    (scratch / "run").mkdir(mode=0o700)
    home, cache = defaults(
        XDG_RUNTIME_DIR=str(scratch / "run"), XDG_CACHE_HOME=str(scratch / "cache"), HOME=str(scratch)
    )
    assert home == scratch / "run" / "servicectx"
    assert cache == scratch / "cache" / "servicectx"


def test_without_home_and_xdg_there_still_is_a_private_place(scratch: Path) -> None:
    home, cache = defaults(TMPDIR=str(scratch))
    assert home.is_dir()
    assert home.stat().st_uid == os.geteuid()
    assert not home.stat().st_mode & 0o022
    assert cache.is_absolute()


def test_a_user_id_without_home_and_passwd_entry_has_a_home_and_no_cache(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("SERVICECTX_HOME", "SERVICECTX_CACHE", "HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert paths.home().is_dir()
    assert paths.cache(make=True) == paths.NOWHERE
    assert f"HOME is not set, and user id {os.geteuid()} has no passwd entry" in caplog.text
    assert "set HOME or SERVICECTX_CACHE" in caplog.text


def test_a_runtime_directory_that_others_can_write_is_not_used(scratch: Path) -> None:
    (scratch / "run").mkdir()
    (scratch / "run").chmod(0o777)
    home, _ = defaults(XDG_RUNTIME_DIR=str(scratch / "run"), TMPDIR=str(scratch))
    assert scratch / "run" not in home.parents


def test_a_link_where_the_runtime_directory_should_be_is_not_followed(scratch: Path) -> None:
    (scratch / f"runtime-{os.geteuid()}").symlink_to(scratch)
    given = f"/run/user/{os.geteuid()}"  # some machines create it at each login
    if Path(given).is_dir():
        assert defaults(TMPDIR=str(scratch))[0] == Path(given) / "servicectx"
    else:
        with pytest.raises(subprocess.CalledProcessError) as caught:
            defaults(TMPDIR=str(scratch))
        assert "servicectx.errors.HomeError" in caught.value.stderr
    assert not (scratch / "servicectx").exists()


def test_data_live_in_memory_where_there_is_room(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scratch / "run").mkdir(mode=0o700)
    monkeypatch.delenv("SERVICECTX_HOME")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(scratch / "run"))
    mine = f"servicectx-{os.geteuid()}"
    if storage.MEMORY.is_dir():
        assert storage.data_root(1000, None) == storage.MEMORY / mine
    assert storage.data_root(1 << 60, None) == scratch / "run" / "servicectx" / "data"
    monkeypatch.setattr(storage, "MEMORY", scratch / "no-such-file-system")
    assert storage.data_root(1000, None) == scratch / "run" / "servicectx" / "data"


def test_data_stay_below_a_home_that_was_given(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_HOME", str(scratch / "home"))
    assert storage.data_root(1000, None) == scratch / "home" / "servicectx-home" / "data"
    (scratch / "home").chmod(0o711)
    assert storage.data_root(1000, "nobody") == scratch / "home" / "servicectx-home" / "data"


def test_data_for_an_account_are_not_put_where_it_cannot_get(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_HOME", str(scratch / "locked" / "home"))
    (scratch / "locked").mkdir(mode=0o700)
    place = storage.data_root(1000, "nobody")
    assert scratch not in place.parents
    assert paths.reachable(place.parent)
    assert place.stat().st_mode & 0o777 == 0o711


def test_reachable_means_for_everybody(scratch: Path) -> None:
    (scratch / "a" / "b").mkdir(parents=True)
    for path in (scratch, scratch / "a", scratch / "a" / "b"):
        path.chmod(0o755)
    (scratch / "a" / "b" / "file").touch(mode=0o644)
    assert paths.reachable(scratch / "a" / "b" / "file")
    (scratch / "a").chmod(0o750)
    assert not paths.reachable(scratch / "a" / "b" / "file")
    (scratch / "a").chmod(0o711)
    assert paths.reachable(scratch / "a" / "b" / "file")
    (scratch / "a" / "b" / "file").chmod(0o640)
    assert not paths.reachable(scratch / "a" / "b" / "file")


# -- the working directory ------------------------------------------------------------------------------------------


def test_a_read_only_working_directory_is_enough(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scratch / "project").mkdir()
    (scratch / "project" / "setup.cfg").touch()
    mounted = ROOT and _mount("--bind", "-r", *[str(scratch / "project")] * 2)
    (scratch / "project").chmod(0o555) if not mounted else None
    monkeypatch.chdir(scratch / "project")
    try:
        with managed(FakeService) as fake, managed("redis"), managed("postgres"):
            assert fake.ask("SET a 1") == "1"
        assert os.listdir() == ["setup.cfg"]
    finally:
        monkeypatch.chdir("/")
        if mounted:
            subprocess.run(["umount", str(scratch / "project")], check=True)


SCRIPT = """
from servicectx import managed
with managed("redis") as redis, managed("postgres") as postgres:
    import psycopg
    with psycopg.connect(postgres.url) as connection:
        print(connection.execute("select 6 * 7").fetchone()[0])
"""


def test_a_bare_environment_is_enough(scratch: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env={"TMPDIR": str(scratch), "SERVICECTX_CACHE": os.environ["SERVICECTX_CACHE"]},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("42\n", "", 0)


def test_programs_are_copied_into_the_instance_where_no_cache_can_be_passed(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = scratch / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("SERVICECTX_CACHE", str(closed))
    monkeypatch.setattr(tempfile, "tempdir", str(closed))
    assert paths.passable_cache() is None
    with managed("postgres") as postgres:
        assert postgres.version
    assert [path.name for path in closed.rglob("servicectx*programs")] == []
