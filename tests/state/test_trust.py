"""A cache that another account could change is not used, above all not by root."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servicectx import managed
from servicectx.state import marked, paths, trust
from tests.cli.command import cli

ROOT = os.geteuid() == 0
THEIRS = 12345


@pytest.fixture
def place(home: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="trust-", dir=home.parent))
    path.chmod(0o711)
    (path / "cache").mkdir(mode=0o755)
    yield path
    shutil.rmtree(path)


def given_away(place: Path) -> None:
    os.chown(place / "cache", THEIRS, -1)


def open_to_all(place: Path) -> None:
    (place / "cache").chmod(0o777)


def below_one_that_is_open(place: Path) -> None:
    place.chmod(0o777)


def below_one_that_was_given_away(place: Path) -> None:
    os.chown(place, THEIRS, -1)


def link_of_another_account(place: Path) -> None:
    (place / "cache").rename(place / "real")
    (place / "cache").symlink_to(place / "real")
    os.chown(place / "cache", THEIRS, -1, follow_symlinks=False)


def made_by_another_account(place: Path) -> None:
    own = marked.make(place / "cache" / paths.IN_CACHE, marked.CACHE)
    for path in (own, own / marked.MARKER):
        os.chown(path, THEIRS, -1)


WAYS = [open_to_all, below_one_that_is_open]
if ROOT:
    WAYS += [given_away, below_one_that_was_given_away, link_of_another_account, made_by_another_account]


@pytest.mark.parametrize("way", WAYS)
def test_a_cache_that_another_account_could_change_is_not_used(
    way: Callable[[Path], None], place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    way(place)
    monkeypatch.setenv("SERVICECTX_CACHE", str(place / "cache"))
    paths._warned.clear()
    with caplog.at_level(logging.WARNING, "servicectx"):
        assert paths.cache(make=True) == paths.cache() == paths.NOWHERE
    (warning,) = [record.getMessage() for record in caplog.records]
    assert str(place / "cache") in warning
    assert "SERVICECTX_CACHE" in warning
    for command in ("cache", "doctor"):
        assert "SERVICECTX_CACHE" in (done := cli(command, cwd=place)).stdout + done.stderr
        assert done.returncode == 1
    place.chmod(0o711)


@pytest.mark.skipif(not ROOT, reason="only root can make another account's directory")
def test_root_never_runs_on_a_template_that_another_account_made(
    place: Path, monkeypatch: pytest.MonkeyPatch, own_postgres: Callable[[], Path]
) -> None:
    monkeypatch.setenv("SERVICECTX_CACHE", str(place / "cache"))
    template = own_postgres()
    (template / "data-of-theirs").mkdir()
    for path in [place / "cache", *(place / "cache").rglob("*")]:
        os.chown(path, THEIRS, -1, follow_symlinks=False)
    with managed("postgres") as postgres:
        assert postgres.version
        assert not list(paths.home().rglob("data-of-theirs"))


@pytest.fixture
def own_postgres() -> Callable[[], Path]:
    """A function that prepares a Postgres in the current cache, and returns its template."""

    def prepare() -> Path:
        with managed("postgres"):
            (found,) = paths.cache().glob("templates/*")
        return found

    return prepare


def test_what_is_safe_is_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safe paths: below a sticky directory, through this user's own link, and a path that does not exist yet."""
    (place / "sticky").mkdir()
    (place / "sticky").chmod(0o1777)
    (place / "sticky" / "deep").mkdir(mode=0o700)
    (place / "link").symlink_to("sticky/../sticky/deep")
    for name in ("sticky/deep", "link", "no/such/place/yet"):
        assert trust.exposure(place / name) is None
        monkeypatch.setenv("SERVICECTX_CACHE", str(place / name))
        cache = paths.cache(make=True)
        assert cache == place / name / paths.IN_CACHE
        assert (cache / marked.MARKER).is_file()
