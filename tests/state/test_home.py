"""The home, the cache or the storage may be any directory of the user's: existing entries are never changed."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicectx import HomeError, managed
from servicectx.request.key import key
from servicectx.state import marked, names, paths
from servicectx.testing import FakeService
from tests.cli.command import cli

ROOT = os.geteuid() == 0
FILES = (
    "poetry.lock",
    "uv.lock",
    "notes.json",
    "notes.json.tmp",
    "x.tmp",
    "SERVICECTX.TAG",
    "redis-0123456789ab.lockx",
)
FOLDERS = (".ssh", ".git", ".venv", "photos.2024", "data", "data/old.d", "redis-0123456789ab.backup1", "templates/mine")
OURS_ALIKE = ("redis-0123456789ab.lock", "redis-0123456789ab.json", "redis-0123456789ab.01234567/state.json")


@pytest.fixture
def place(home: Path) -> Iterator[Path]:
    """A directory with other files: a checkout, a home directory, a workspace of CI."""
    path = Path(tempfile.mkdtemp(prefix="place-", dir=home.parent))
    path.chmod(0o711)
    for name in FOLDERS:
        (path / name).mkdir(parents=True)
        (path / name / "file").write_text("mine")
    for name in (*FILES, *OURS_ALIKE):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("mine")
    (path / "link.d").symlink_to(path / ".ssh")
    (path / "dangling.x").symlink_to("nowhere")
    yield path
    shutil.rmtree(path)


def listing(place: Path, without: str) -> dict[str, tuple[int, int, int, bytes]]:
    """Each entry with its inode, mode, time of change and content."""
    found = {}
    for path in sorted(place.rglob("*")):
        if without not in path.parts:
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found[str(path)] = (status.st_ino, status.st_mode, status.st_mtime_ns if content else 0, content)
    return found


def test_a_home_with_other_files_in_it_loses_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_HOME", str(place))
    before = listing(place, paths.IN_HOME)
    with managed(FakeService) as fake, managed(FakeService, name="another"):
        assert fake.ask("SET a 1") == "1"
    for args in (["prune"], ["prune", "--kept-data", "--yes"], ["status"], ["doctor"], ["down", "--all", "--force"]):
        cli(*args, cwd=place)
    assert listing(place, paths.IN_HOME) == before
    assert sorted(path.name for path in (place / paths.IN_HOME).iterdir()) == [marked.MARKER, "data"]


def test_a_cache_with_other_files_in_it_loses_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_CACHE", str(place))
    before = listing(place, paths.IN_CACHE)
    paths.cache(make=True)
    for option in ("--trim", "--clear"):
        assert cli("cache", option, cwd=place).returncode == 0
    assert listing(place, paths.IN_CACHE) == before


def test_a_place_for_data_with_other_files_in_it_loses_nothing(place: Path) -> None:
    before = listing(place, "")
    with managed(FakeService, storage=place):
        assert (place / paths.IN_STORAGE).is_dir()
    assert listing(place, "") == before


NO_KEYS = ["", "notes", ".", "..", "redis", "redis-0123456789ab/..", "redis-0123456789AB", "é-0123456789ab"]


@pytest.mark.parametrize("name", NO_KEYS)
def test_names_are_matched_whole(name: str) -> None:
    assert not names.is_key(name)
    endings = ("", "lock", "json", "json.tmp", "01234567", "01234567.data")
    listed = [f"{name}.{ending}" for ending in endings]
    assert names.keys(listed) == set()
    whole = [f"redis-0123456789ab.{ending}" for ending in endings[1:]]
    assert names.keys([f"x{file}\n" for file in whole]) | names.keys([f".{file}" for file in whole]) == set()
    assert names.keys(whole) == {"redis-0123456789ab"}


@pytest.mark.parametrize("name", ["bücher", "データ", "../../etc", "a.b/c", "x" * 99, "²³", ""])
def test_keys_are_of_one_form_whatever_the_name(name: str) -> None:
    assert names.is_key(key("user", name, "my-own.service", {}, "", "/bin/true"))


# -- the marker ------------------------------------------------------------------------------------------------------


def test_an_empty_directory_that_a_killed_maker_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    marked.make(tmp_path / "own", marked.HOME)
    (tmp_path / "own" / marked.MARKER).write_text("")  # killed between the two writes
    marked.make(tmp_path / "own", marked.HOME)
    assert "Format: 1" in (tmp_path / "own" / marked.MARKER).read_text()


def test_a_directory_of_that_name_with_other_files_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_HOME", str(place))
    (place / paths.IN_HOME).mkdir(mode=0o700)
    (place / paths.IN_HOME / "precious").write_text("mine")
    with pytest.raises(HomeError, match="has files in it and no SERVICECTX") as caught, managed(FakeService):
        pass
    assert "set SERVICECTX_HOME" in caught.value.cure
    assert os.listdir(place / paths.IN_HOME) == ["precious"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Signature: servicectx directory\nKind: home\nFormat: 99\n", "another version.*format: 99"),
        ("Signature: servicectx directory\nKind: cache\nFormat: 1\n", "another purpose.*kind: cache"),
        ("something else", "not one of servicectx"),
        ("\udcff\udcfe", "not one of servicectx"),
    ],
)
def test_a_foreign_marker_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "own" / marked.MARKER).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(HomeError, match=problem):
        marked.make(tmp_path / "own", marked.HOME)


def test_many_makers_at_once_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from servicectx.state import marked; sys.stdin.readline(); "
        "[marked.make(Path(sys.argv[1]) / str(n), 'home') and (Path(sys.argv[1]) / str(n) / f'redis-0123456789ab.lock')"
        ".touch() for n in range(50)]"
    )
    command = [sys.executable, "-c", code, tmp_path]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    makers = [subprocess.Popen(command, **pipes, text=True) for _ in range(4)]  # type: ignore[call-overload]
    assert [(maker.communicate("go\n")[1], maker.returncode) for maker in makers] == [("", 0)] * 4


def test_a_path_that_leads_elsewhere_in_a_state_is_no_reason_to_remove(home: Path, place: Path) -> None:
    """A data directory is removed only from a marked root, and only by the name of its instance."""
    from servicectx.state import container

    for path in (place / "photos.2024", place / "redis-0123456789ab.01234567", home):
        assert not container.remove(path)
        assert path.is_dir()


# -- the default places ------------------------------------------------------------------------------------------------

LOOK = "from servicectx.state import paths; print(paths.home()); print(paths.cache(make=True))"


def defaults(**environment: str) -> tuple[Path, Path, str]:
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    home, cache = map(Path, done.stdout.splitlines())
    return home, cache, done.stderr


def test_a_default_place_that_is_foreign_is_passed_over(place: Path) -> None:
    for name in ("run", "run/servicectx", "cache", "cache/servicectx"):
        (place / name).mkdir(mode=0o700)
    for name in ("run", "cache"):
        (place / name / "servicectx" / "precious").write_text("mine")
    variables = {"XDG_RUNTIME_DIR": str(place / "run"), "XDG_CACHE_HOME": str(place / "cache"), "HOME": str(place)}
    home, cache, stderr = defaults(TMPDIR=str(place), **variables)
    assert home == place / f"runtime-{os.geteuid()}" / "servicectx"
    assert (home / marked.MARKER).is_file()
    assert (cache, stderr) == (place / "cache" / paths.IN_CACHE, "")
    assert os.listdir(place / "run" / "servicectx") == os.listdir(place / "cache" / "servicectx") == ["precious"]


@pytest.mark.parametrize("given", ["/proc/no/such/place", "file/run"])
def test_a_runtime_directory_that_cannot_be_made_is_passed_over(given: str, place: Path) -> None:
    (place / "file").touch()
    home, _, _ = defaults(XDG_RUNTIME_DIR=str(place / given), TMPDIR=str(place), HOME=str(place))
    assert home.name == "servicectx"
    assert (home / marked.MARKER).is_file()


@pytest.mark.skipif(not ROOT, reason="only root can make another account's directory")
def test_a_runtime_directory_below_another_account_s_is_passed_over(place: Path) -> None:
    (place / "theirs").mkdir(mode=0o755)
    os.chown(place / "theirs", 12345, -1)
    theirs = place / "theirs" / "run"
    theirs.mkdir(mode=0o700)
    home, _, _ = defaults(XDG_RUNTIME_DIR=str(theirs), TMPDIR=str(place), HOME=str(place))
    assert (home / marked.MARKER).is_file()
    home, _, _ = defaults(TMPDIR=str(theirs), HOME=str(place))
    assert (home / marked.MARKER).is_file()
