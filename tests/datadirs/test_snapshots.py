"""A snapshot of the data after a set-up: the next start copies it, so the set-up runs once per change."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis as redis_client

from servicectx import InvalidOption, NotIsolable, PostgresDetails, RedisDetails, SetupFailed, isolated, managed
from servicectx.keeper import snapshot
from servicectx.services import binaries
from servicectx.services.redis.service import Redis
from servicectx.state import paths
from servicectx.testing import FakeService

runs: list[str] = []


def fill(details: Any) -> None:
    runs.append(details.url)
    if isinstance(details, RedisDetails):
        with redis_client.Redis.from_url(details.url) as connection:
            connection.set("name", "kept")
            connection.hset("things", mapping={str(number): "x" * 100 for number in range(1000)})
        return
    with psycopg.connect(details.url) as connection:
        connection.execute("create table things (name text)")
        connection.execute("insert into things values ('kept')")


def things(details: Any) -> list[str]:
    if isinstance(details, RedisDetails):
        with redis_client.Redis.from_url(details.url, decode_responses=True) as connection:
            assert connection.hlen("things") == 1000
            return [str(connection.get("name"))]
    with contextlib.closing(psycopg.connect(details.url)) as connection:
        return [row[0] for row in connection.execute("select name from things")]


def redis_servers() -> list[str]:
    """Every Redis and Valkey of this machine: their data formats differ."""
    return list(dict.fromkeys(binaries.candidates(Redis.search, [])))


@pytest.fixture
def own_cache(home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for this test alone, with the templates of the test run in it."""
    mine = home.parent / f"{home.name}-cache"
    mine.mkdir(mode=0o711)
    monkeypatch.setenv("SERVICECTX_CACHE", str(mine))
    mine = paths.cache(make=True)
    if (cache / "templates").exists():
        shutil.copytree(cache / "templates", mine / "templates", ignore=shutil.ignore_patterns(".*.*"))
    runs.clear()
    return mine


def snapshots(cache: Path) -> list[str]:
    return sorted(os.listdir(cache / "snapshots")) if (cache / "snapshots").exists() else []


@pytest.mark.parametrize("service", ["postgres", *redis_servers()])
def test_the_set_up_runs_once_until_the_text_changes(
    service: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.path.isabs(service):
        monkeypatch.setenv("SERVICECTX_REDIS_BIN", service)
        service = "redis"
    passwords = set()
    for _ in range(3):
        with managed(service, setup=fill, snapshot="one") as details:
            assert things(details) == ["kept"]
            passwords.add(details.password)
    assert len(runs) == 1
    assert len(passwords) == 3, "each instance still has its own password"
    with managed(service, setup=fill, snapshot="two") as details:
        assert things(details) == ["kept"]
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
    assert len(snapshots(own_cache)) == 1
    file.write_text("create table things (name text); insert into things values ('two');")
    with managed("postgres", setup=[file], snapshot=True) as pg:
        assert things(pg) == ["two"]
    assert len(snapshots(own_cache)) == 2


def test_a_change_of_an_included_file_and_of_code_is_seen(own_cache: Path, tmp_path: Path) -> None:
    tables, file = tmp_path / "tables.sql", tmp_path / "schema.sql"
    file.write_text("\\ir tables.sql\n")
    for name in ("one", "two"):
        tables.write_text(f"create table things (name text); insert into things values ('{name}');")
        with managed("postgres", setup=[file], snapshot=True) as pg:
            assert things(pg) == [name]
    assert len(snapshots(own_cache)) == 2
    for label in ("one", "two"):
        module: dict[str, Any] = {"__name__": __name__, "fill_really": fill}
        exec(f"def fill(details): fill_really(details); {label} = 1", module)
        with managed("postgres", setup=module["fill"], snapshot="text") as pg:
            assert things(pg) == ["kept"]
    assert len(runs) == 1, "the name of a local variable is not code"
    exec("def fill(details): fill_really(details); 'more'; print('more')", module)
    with managed("postgres", setup=module["fill"], snapshot="text") as pg:
        assert things(pg) == ["kept"]
    assert len(runs) == 2


def test_what_the_data_depend_on_is_in_the_name(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other options, another build, a function of the same name elsewhere: each has its own snapshot."""
    elsewhere: dict[str, Any] = {"__name__": fill.__module__, "fill_really": fill}
    exec(compile("def fill(details): fill_really(details)", str(tmp_path / "elsewhere.py"), "exec"), elsewhere)
    server = str(shutil.copy(os.path.realpath(redis_servers()[0]), tmp_path / "redis-server"))

    def names(setup: Callable[[Any], None] = fill, **options: Any) -> set[str]:
        before = set(snapshots(own_cache))
        with managed("redis", setup=setup, snapshot="one", **options) as redis:
            assert things(redis) == ["kept"]
        return set(snapshots(own_cache)) - before

    assert len(names()) == 1
    assert names() == set()
    assert len(names(elsewhere["fill"])) == 1
    assert len(names(settings={"maxmemory": "64mb"})) == 1
    monkeypatch.setenv("SERVICECTX_REDIS_BIN", server)
    os.utime(server, (1, 1))
    assert names() == set(), "the same build, installed elsewhere at another time"
    with open(server, "ab") as file:
        file.write(b"another build")
    assert len(names()) == 1
    assert names() == set()
    assert len(runs) == 4


def damage_missing(file: Path) -> None:
    file.unlink()


def damage_truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def damage_garbage(file: Path) -> None:
    """Replace the content, with the same size."""
    file.write_bytes(os.urandom(file.stat().st_size))


def damage_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def damage_secret(file: Path) -> None:
    manifest = next(path for path in file.parents if path.parent.name == "snapshots") / ".servicectx"
    text = manifest.read_text()
    at = text.index("secret=") + len("secret=")
    manifest.write_text(text[:at] + ("b" if text[at] == "a" else "a") + text[at + 1 :])


def damage_notes(file: Path) -> None:
    place = next(path for path in file.parents if path.parent.name == "snapshots")
    (place / ".servicectx").write_bytes(os.urandom(100))


DAMAGES = [damage_missing, damage_truncated, damage_garbage, damage_bit, damage_secret, damage_notes]


@pytest.mark.parametrize(("service", "file"), [("postgres", "global/pg_control"), ("redis", "dump.rdb")])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_made_anew(service: str, file: str, damage: Callable[[Path], None], own_cache: Path) -> None:
    with managed(service, setup=fill, snapshot="one"):
        pass
    (name,) = snapshots(own_cache)
    damage(own_cache / "snapshots" / name / file)
    for _ in range(2):
        with managed(service, setup=fill, snapshot="one") as details:
            assert things(details) == ["kept"]
        assert len(runs) == 2, "once after the damage, not again"
    assert snapshots(own_cache) == [name]


def test_a_table_that_was_lost_is_made_anew(own_cache: Path) -> None:
    """The server starts on the damaged copy, with an empty table."""

    def place_of(details: PostgresDetails) -> str:
        with psycopg.connect(details.url) as connection:
            return str(connection.execute("select pg_relation_filepath('things')").fetchall()[0][0])

    with managed("postgres", setup=fill, snapshot="one") as pg:
        path = place_of(pg)
    (name,) = snapshots(own_cache)
    table = own_cache / "snapshots" / name / path
    table.write_bytes(bytes(table.stat().st_size))
    for _ in range(2):
        with managed("postgres", setup=fill, snapshot="one") as pg:
            assert things(pg) == ["kept"]
        assert len(runs) == 2


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory in which any server may make files."""
    path = Path(tempfile.mkdtemp(prefix="sctest-", dir="/tmp"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


def test_what_has_data_elsewhere_is_not_kept(
    elsewhere: Path, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All instances of the snapshot would write to the same files."""

    def fill_elsewhere(pg: PostgresDetails) -> None:
        runs.append(pg.url)
        place = elsewhere / str(len(runs))
        place.mkdir()
        if os.geteuid() == 0:
            shutil.chown(place, "postgres")
        with psycopg.connect(pg.url, autocommit=True) as connection:
            connection.execute(f"create tablespace elsewhere location '{place}'".encode())
            connection.execute("create table things (name text) tablespace elsewhere")
            connection.execute("insert into things values ('kept')")

    for round in (1, 2):
        with managed("postgres", setup=fill_elsewhere, snapshot="one") as pg:
            assert things(pg) == ["kept"]
            with psycopg.connect(pg.url) as connection:
                connection.execute("delete from things")
        assert len(runs) == round
    assert snapshots(own_cache) == []
    messages = [record.getMessage() for record in caplog.records if "snapshot" in record.getMessage()]
    assert len(messages) == 2, "once for each start"
    assert re.search(f"no snapshot of postgres is kept: pg_tblspc/[0-9]+ -> {elsewhere}/1 leads out", messages[0])


@pytest.mark.parametrize(
    ("target", "leads_out"),
    [
        ("file", False),
        ("../file", False),
        ("../no-such-file", False),
        ("../..", True),
        ("../../elsewhere", True),
        ("../../data2", True),
        ("/etc/passwd", True),
        ("/no/such/file", True),
        ("{root}/file", True),
    ],
)
def test_links_that_lead_out(target: str, leads_out: bool, tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "deep").mkdir(parents=True)
    (root / "file").touch()
    (root / "deep" / "link").symlink_to(target.format(root=root))
    assert (snapshot._link_out(root) is not None) == leads_out


def test_a_set_up_that_leaves_a_connection_open_is_not_kept(own_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its data has no template for namespaces. The corrected set-up is kept."""
    left: list[Any] = []

    def fill_and_leave(pg: PostgresDetails) -> None:
        fill(pg)
        if not left:
            left.append(psycopg.connect(pg.url))

    with managed("postgres", setup=fill_and_leave, snapshot="one") as pg:
        assert things(pg) == ["kept"], "the start continues"
        with pytest.raises(NotIsolable, match="left connections open"), isolated(pg):
            pass
    left[0].close()
    assert snapshots(own_cache) == []
    assert "no snapshot of postgres is kept" in caplog.text
    for _ in range(2):
        with managed("postgres", setup=fill_and_leave, snapshot="one") as pg, isolated(pg) as mine:
            assert things(mine) == ["kept"]
    assert len(runs) == 2


def test_a_set_up_that_fails_leaves_no_snapshot(own_cache: Path) -> None:
    def fail(pg: PostgresDetails) -> None:
        fill(pg)
        raise LookupError

    with pytest.raises(SetupFailed), managed("postgres", setup=fail, snapshot="one"):
        pass
    assert snapshots(own_cache) == []


def test_flushall_writes_nothing(own_cache: Path) -> None:
    """With save points FLUSHALL would write the data to disk each time, and tests flush often."""
    with managed("redis") as redis, redis_client.Redis.from_url(redis.url) as connection:
        assert connection.config_get("save") == {"save": ""}


@pytest.mark.parametrize(
    ("service", "arguments", "problem"),
    [
        ("postgres", {"snapshot": True}, "none is given"),
        ("postgres", {"setup": fill, "snapshot": True}, "give a text"),
        (FakeService, {"setup": fill, "snapshot": "one"}, "cannot be kept"),
    ],
)
def test_wishes_that_make_no_sense(service: Any, arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidOption, match=problem), managed(service, **arguments):
        pass
