"""The data after a set-up are kept, and the next start is a copy: the set-up runs once per change of it."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servicectx import InvalidOption, PostgresDetails, isolated, managed
from servicectx.testing import FakeService

runs: list[str] = []


def fill(pg: PostgresDetails) -> None:
    runs.append(pg.url)
    with psycopg.connect(pg.url) as connection:
        connection.execute("create table things (name text)")
        connection.execute("insert into things values ('kept')")


def things(pg: PostgresDetails) -> list[str]:
    with contextlib.closing(psycopg.connect(pg.url)) as connection:
        return [row[0] for row in connection.execute("select name from things")]


@pytest.fixture
def own_cache(home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, with the prepared data of the run in it."""
    mine = home.parent / f"{home.name}-cache"
    mine.mkdir(mode=0o711)
    if (cache / "templates").exists():
        shutil.copytree(cache / "templates", mine / "templates", ignore=shutil.ignore_patterns(".*.*"))
    monkeypatch.setenv("SERVICECTX_CACHE", str(mine))
    return mine


def test_the_set_up_runs_once_until_the_text_changes(own_cache: Path) -> None:
    runs.clear()
    passwords = set()
    for _ in range(3):
        with managed("postgres", setup=fill, snapshot="one") as pg:
            assert things(pg) == ["kept"]
            passwords.add(pg.password)
    assert len(runs) == 1
    assert len(passwords) == 3, "each instance has its own password all the same"
    with managed("postgres", setup=fill, snapshot="two") as pg:
        assert things(pg) == ["kept"]
    assert len(runs) == 2


def test_the_template_for_namespaces_is_kept_too(own_cache: Path) -> None:
    for _ in range(2):
        with managed("postgres", setup=fill, snapshot="one") as pg, isolated(pg) as mine:
            assert things(mine) == ["kept"]


def test_files_are_hashed(own_cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "schema.sql"
    file.write_text("create table things (name text); insert into things values ('one');")
    for _ in range(2):
        with managed("postgres", setup=[file], snapshot=True) as pg:
            assert things(pg) == ["one"]
    assert len(list((own_cache / "snapshots").iterdir())) == 1
    file.write_text("create table things (name text); insert into things values ('two');")
    with managed("postgres", setup=[file], snapshot=True) as pg:
        assert things(pg) == ["two"]
    assert len(list((own_cache / "snapshots").iterdir())) == 2


def test_a_damaged_one_is_made_anew(own_cache: Path) -> None:
    runs.clear()
    with managed("postgres", setup=fill, snapshot="one"):
        pass
    (kept,) = (own_cache / "snapshots").iterdir()
    next(kept.glob("base/*/1259")).unlink()
    with managed("postgres", setup=fill, snapshot="one") as pg:
        assert things(pg) == ["kept"]
    assert len(runs) == 2
    with managed("postgres", setup=fill, snapshot="one") as pg:
        assert things(pg) == ["kept"]
    assert len(runs) == 2


def test_a_set_up_that_fails_leaves_no_snapshot(own_cache: Path) -> None:
    from servicectx import SetupFailed

    def fail(pg: PostgresDetails) -> None:
        fill(pg)
        raise LookupError

    with pytest.raises(SetupFailed), managed("postgres", setup=fail, snapshot="one"):
        pass
    assert not (own_cache / "snapshots").exists()


@pytest.mark.parametrize(
    ("service", "arguments", "said"),
    [
        ("postgres", {"snapshot": True}, "none is given"),
        ("postgres", {"setup": fill, "snapshot": True}, "give a text"),
        (FakeService, {"setup": fill, "snapshot": "one"}, "cannot be kept"),
    ],
)
def test_wishes_that_make_no_sense(service: Any, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidOption, match=said), managed(service, **arguments):
        pass
