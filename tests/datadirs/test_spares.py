"""A spare data directory: made while a service runs on disk, taken by a rename, complete or not at all."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from servicectx import PostgresDetails, cache_entries, managed
from servicectx.datadirs import prepared, spare
from servicectx.datadirs.cache import SPARES, Cache
from servicectx.services import registry
from servicectx.state import marked, storage
from servicectx.system import platform, processes
from tests.actor import Actor
from tests.detector import BUSY, Home, wait_for

TIMEOUT = 60.0  # seconds


def on_disk() -> str:
    """A directory on a disk of this machine: spares are only made there."""
    places = (tempfile.gettempdir(), "/var/tmp", os.path.dirname(__file__))
    return next(place for place in places if not storage.is_memory(Path(place)) and os.access(place, os.W_OK))


@pytest.fixture
def home(cache: Path) -> Iterator[Home]:
    """A home and a cache on one disk, with the template of Postgres in the cache."""
    home = Home()
    shutil.rmtree(home.path)
    home.path = Path(tempfile.mkdtemp(prefix="sctest-", dir=on_disk()))
    home.path.chmod(0o711)
    own = cache_of(home)
    own.path.parent.mkdir()
    marked.make(own.path, marked.CACHE)
    postgres = registry.find("postgres")
    template = postgres.plan(postgres.options({}), postgres.program(postgres.options({})), "secret").template
    assert template is not None
    if prepared.is_prepared(cache / "templates" / template.key):
        shutil.copytree(cache / "templates" / template.key, own.path / "templates" / template.key)
    yield home
    home.remove()
    shutil.rmtree(own.path.parent)


@pytest.fixture
def ours(home: Home, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Make this process use the same home and cache."""
    monkeypatch.setenv("SERVICECTX_HOME", str(home.path))
    monkeypatch.setenv("SERVICECTX_CACHE", str(cache_of(home).path.parent))
    return cache_of(home)


def cache_of(home: Home) -> Cache:
    return Cache(home.path.with_name(f"{home.path.name}-cache") / "servicectx-cache", 1 << 30)


def spares(cache: Cache) -> list[Path]:
    return [entry.path for entry in cache.entries() if entry.kind == SPARES]


def half_made(cache: Cache) -> list[Path]:
    return list(cache.path.glob(f"{SPARES}/.*"))


def wait_for_spare(cache: Cache, number: int = 1) -> Path:
    wait_for(lambda: len(spares(cache)) == number and not half_made(cache), TIMEOUT)
    return spares(cache)[0]


def fill(pg: PostgresDetails) -> None:
    with psycopg.connect(pg.url) as connection:
        connection.execute("create table things as select 'kept' as name")


def enter(user: Actor) -> None:
    """Enter a Postgres. On a busy disk the copy alone may take seconds."""
    user.send("enter", service="postgres", arguments={})
    assert "error" not in user.hear(TIMEOUT)


def data_of(pg: PostgresDetails) -> Path:
    with psycopg.connect(pg.url) as connection:
        row = connection.execute("show data_directory").fetchone()
    assert row is not None
    return Path(row[0])


def test_the_next_start_takes_it_by_a_rename(ours: Cache) -> None:
    with managed("postgres"):
        made = wait_for_spare(ours)
        number = made.stat().st_ino
    assert spares(ours) == [made], "it outlives the service"
    with managed("postgres") as pg:
        data = data_of(pg)
        assert data.stat().st_ino == number
        assert not (data / ".servicectx").exists()
        wait_for_spare(ours)
    assert not data.exists()


def test_one_for_each_snapshot(ours: Cache) -> None:
    passwords = set()
    for _ in range(2):
        with managed("postgres", setup=fill, snapshot="one") as pg, psycopg.connect(pg.url) as connection:
            assert connection.execute("select name from things").fetchall() == [("kept",)]
            passwords.add(pg.password)
            wait_for_spare(ours)
    with managed("postgres"):
        wait_for_spare(ours, 2)
    assert len(passwords) == 2


def test_it_is_shown_and_counted_and_cleared(ours: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    with managed("postgres"):
        made = wait_for_spare(ours)
    (entry,) = [entry for entry in cache_entries() if entry.kind == "spares"]
    assert entry.path == made
    (template,) = [entry for entry in cache_entries() if entry.kind == "templates"]
    assert template.size * 0.9 < entry.size < template.size * 1.1
    done = subprocess.run([sys.executable, "-m", "servicectx", "cache"], capture_output=True, text=True, check=True)
    assert "ready for the next start" in done.stdout
    subprocess.run([sys.executable, "-m", "servicectx", "cache", "--clear"], capture_output=True, check=True)
    assert cache_entries() == []


def test_none_is_made_where_the_cache_has_no_room(home: Home, ours: Cache) -> None:
    """A spare would drive out more useful copies."""
    with Actor(home, SERVICECTX_CACHE=str(ours.path.parent), SERVICECTX_CACHE_SIZE="60M") as user:
        enter(user)
        time.sleep(1.5)  # the absence of a spare makes no event
        assert spares(ours) + half_made(ours) == []
        user.leave()
    assert [entry.kind for entry in ours.entries()] == ["templates"]


@pytest.mark.skipif(platform.PORTABLE, reason="no data in memory without /dev/shm")
def test_none_is_made_in_memory(ours: Cache) -> None:
    with managed("postgres", storage="memory"):
        time.sleep(1.0)
        assert spares(ours) + half_made(ours) == []


def test_its_maker_gives_way_and_goes_when_done(home: Home, ours: Cache) -> None:
    with Actor(home, SERVICECTX_CACHE=str(ours.path.parent), pause_at="spare") as user:
        enter(user)
        maker = user.wait_paused(TIMEOUT)
        assert os.getpriority(os.PRIO_PROCESS, maker) == 19
        user.resume()
        wait_for_spare(ours)
        wait_for(lambda: not os.path.exists(f"/proc/{maker}"), 2)
        user.leave()


@pytest.mark.parametrize("takers", [2, 4])
def test_takers_at_once_get_different_data(home: Home, ours: Cache, takers: int) -> None:
    with managed("postgres"):
        wait_for_spare(ours)
    users = [Actor(home, SERVICECTX_CACHE=str(ours.path.parent)) for _ in range(takers)]
    try:
        for number, user in enumerate(users):
            user.send("enter", service="postgres", arguments={"scope": f"taker-{number}"})
        answers = [user.hear(TIMEOUT) for user in users]
        assert not [answer for answer in answers if "error" in answer]
        assert len({answer["port"] for answer in answers}) == takers
        assert [user.ask("use")["used"] for user in users] == ["42"] * takers
        for user in users:
            user.leave()
        home.wait_until_empty()
    finally:
        for user in users:
            user.kill()


@pytest.mark.parametrize("damage", ["missing", "truncated", "no notes", "garbage notes"])
def test_a_damaged_one_is_not_taken(damage: str, ours: Cache) -> None:
    with managed("postgres"):
        made = wait_for_spare(ours)
    (made / "mark").touch()
    if damage == "missing":
        (made / "global" / "pg_control").unlink()
    elif damage == "truncated":
        os.truncate(made / "global" / "pg_control", 100)
    elif damage == "no notes":
        (made / ".servicectx").unlink()
    else:
        (made / ".servicectx").write_bytes(b"\xff\x00nonsense")
    with managed("postgres") as pg:
        assert not (data_of(pg) / "mark").exists()
        assert prepared.is_prepared(wait_for_spare(ours))


# -- SIGKILL -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["maker", "keeper", "user"])
def test_killed_while_it_is_made(home: Home, ours: Cache, victim: str) -> None:
    with Actor(home, SERVICECTX_CACHE=str(ours.path.parent), pause_at="spare") as user:
        enter(user)
        maker = user.wait_paused(TIMEOUT)
        assert spares(ours) == []
        if victim == "maker":
            os.kill(maker, signal.SIGKILL)
            assert user.ask("use")["used"] == "42"
            user.leave()
        elif victim == "keeper":
            with open(f"/proc/{maker}/stat") as file:
                os.kill(int(file.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
            wait_for(lambda: not user.ask("alive")["alive"], 2)
            user.leave()
        else:
            user.kill()
        home.wait_until_empty()
        assert processes.identity(maker) is None
    assert spares(ours) == [], "a half-made spare does not count"
    with managed("postgres"):
        assert prepared.is_prepared(wait_for_spare(ours))
    assert half_made(ours) == []


def test_a_stop_does_not_wait_for_its_maker(home: Home, ours: Cache) -> None:
    with Actor(home, SERVICECTX_CACHE=str(ours.path.parent), pause_at="spare") as user:
        enter(user)
        maker = user.wait_paused(TIMEOUT)
        assert user.leave()["took"] < BUSY
        assert processes.identity(maker) is None
        assert home.left() == []


@pytest.mark.parametrize("victim", ["taker", "keeper", "requester"])
def test_killed_while_it_is_taken(home: Home, ours: Cache, victim: str) -> None:
    with managed("postgres"):
        wait_for_spare(ours)
    with Actor(home, SERVICECTX_CACHE=str(ours.path.parent), pause_at="taken") as requester:
        requester.send("enter", service="postgres", arguments={})
        taker = requester.wait_paused(TIMEOUT)
        assert spares(ours) == [], "no other process can take it"
        if victim == "taker":
            os.kill(taker, signal.SIGKILL)
            assert "error" not in requester.hear(TIMEOUT)
        elif victim == "keeper":
            with open(f"/proc/{taker}/stat") as file:
                os.kill(int(file.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
            assert "error" not in requester.hear(TIMEOUT)
        else:
            requester.kill()
        if victim != "requester":
            assert requester.ask("use")["used"] == "42"
            requester.leave()
        home.wait_until_empty()


def test_of_many_takers_of_one_spare_one_gets_it(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("x" * 1000)
    prepared.store(tmp_path / "source", tmp_path / "spare", secret="s")
    script = (
        "import sys; from pathlib import Path; from servicectx.datadirs import spare\n"
        "print(spare.take(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", script, tmp_path / "spare", tmp_path / f"target{number}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    outputs = sorted(taker.communicate(timeout=30)[0].strip() for taker in takers)
    assert outputs[:5] == ["None"] * 5
    assert "'secret': 's'" in outputs[5]
    assert len(list(tmp_path.glob("target*"))) == 1
    assert spare.take(tmp_path / "spare", tmp_path / "late") is None
