"""A real MariaDB, with its real clients."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import asyncmy
import pymysql
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from servicectx import (
    BinaryNotFound,
    InvalidOption,
    MariadbDetails,
    NotIsolable,
    SetupFailed,
    StartFailed,
    isolated,
    managed,
)
from servicectx.services import registry
from servicectx.services.mariadb import databases as mariadb_databases
from servicectx.services.mariadb.databases import MariadbDatabases
from servicectx.services.mariadb.wire import Connection, Refused
from tests import servers
from tests.services import killed
from tests.services.row import Row, no_password, password

ROWS = [
    Row("mariadb", needs="system", logins=(password(user="al ice", dbname="orders/1"), no_password()), socket=True),
]


@contextmanager
def cursor(details: MariadbDetails) -> Iterator[Any]:
    with closing(pymysql.connect(**details.connect_args, autocommit=True)) as connection, connection.cursor() as found:
        yield found


def query(details: MariadbDetails, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with cursor(details) as database:
        database.execute(sql, values or None)
        return list(database.fetchall())


def put(details: MariadbDetails, name: str, value: str) -> None:
    with cursor(details) as database:
        database.execute("create table if not exists kept (name varchar(99) primary key, value text)")
        database.execute("insert into kept values (%s, %s)", (name, value))


def get(details: MariadbDetails, name: str) -> str | None:
    if not query(details, "show tables like 'kept'"):
        return None
    rows = query(details, "select value from kept where name = %s", name)
    return str(rows[0][0]) if rows else None


def databases(details: MariadbDetails) -> list[str]:
    return [str(name) for (name,) in query(details, r"show databases like 'sc\_%'")]


# -- clients -----------------------------------------------------------------------------------------------------


def test_asyncmy_connects() -> None:
    async def work(details: MariadbDetails) -> Any:
        async with asyncmy.connect(**details.connect_args) as connection, connection.cursor() as database:
            await database.execute("select 'ä', database()")
            return await database.fetchone()

    with managed("mariadb", dbname="shop") as mariadb:
        assert asyncio.run(work(mariadb)) == ("ä", "shop")


def test_sqlalchemy_connects() -> None:
    async def work(details: MariadbDetails) -> Any:
        engine = create_async_engine(details.async_sqlalchemy_url)
        async with engine.connect() as connection:
            answer = (await connection.execute(text("select 6 * 7"))).scalar()
        await engine.dispose()
        return answer

    with managed("mariadb") as mariadb:
        engine = create_engine(mariadb.sqlalchemy_url)
        with engine.connect() as connection:
            assert connection.execute(text("select database()")).scalar() == "test"
        engine.dispose()
        assert asyncio.run(work(mariadb)) == 42


def test_the_environment_is_enough_for_the_tools() -> None:
    with managed("mariadb") as mariadb:
        put(mariadb, "a", "1")
        for command in (
            'mariadb --no-defaults -u "$MYSQL_USER" "$MYSQL_DATABASE" --skip-column-names -e "select value from kept"',
            'mariadb-dump --no-defaults -h "$MYSQL_HOST" -u "$MYSQL_USER" "$MYSQL_DATABASE" | grep -o "1"',
        ):
            done = subprocess.run(
                ["sh", "-c", command], env=os.environ | mariadb.env(), capture_output=True, text=True, check=False
            )
            assert (done.stderr, done.stdout.split()[0]) == ("", "1")


def test_odd_names_of_user_and_database_are_made() -> None:
    with managed("mariadb", user="o'hara `x`", dbname="my `own`; shop ä") as mariadb:
        assert query(mariadb, "select database(), current_user()") == [("my `own`; shop ä", "o'hara `x`@%")]
        with create_engine(mariadb.sqlalchemy_url).connect() as connection:
            assert connection.execute(text("select database()")).scalar() == mariadb.dbname
            connection.engine.dispose()


# -- accounts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"password": "guess"}, {"password": ""}, {"user": "mysql", "password": ""}])
def test_a_wrong_login_is_refused(wrong: dict[str, str]) -> None:
    with managed("mariadb") as mariadb:
        bad = mariadb.model_copy(update=wrong)
        with pytest.raises(pymysql.OperationalError, match="Access denied"):
            query(bad, "select 1")
        with pytest.raises(NotIsolable, match="Access denied"), isolated(bad):
            pass


@pytest.mark.parametrize("user", ["root", "mysql", "nobody"])
def test_no_account_of_the_installation_lets_anyone_in(user: str) -> None:
    """The server's own socket would admit an account with the right name without a password."""
    with managed("mariadb") as mariadb:
        ((folder,),) = query(mariadb, "select @@datadir")
        assert Path(folder, "mariadb.sock").is_socket()
        with (
            short_path(folder) as short,
            pytest.raises(pymysql.OperationalError, match=r"Access denied|not loaded"),
        ):
            pymysql.connect(unix_socket=f"{short}/mariadb.sock", user=user)


@contextlib.contextmanager
def short_path(folder: str) -> Iterator[str]:
    """A path to the directory that is short enough for a socket."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def test_the_password_is_in_no_file_of_the_server(home: Path) -> None:
    with managed("mariadb") as mariadb:
        ((folder,),) = query(mariadb, "select @@datadir")
        assert (Path(folder).parent / "init.sql").exists()
        holding = [path for path in Path(folder).parent.rglob("*") if path.is_file() and holds(path, mariadb.password)]
        assert holding == []


def holds(path: Path, secret: str) -> bool:
    return secret.encode() in path.read_bytes()


def test_all_that_listens_is_one_port_on_loopback() -> None:
    with managed("mariadb") as mariadb:
        assert servers.listens_on_loopback_only(mariadb.port)
        inet = servers.owner(mariadb.port).net_connections("inet")
        assert {end.laddr.port for end in inet if not end.raddr} == {mariadb.port}


def test_the_version_is_told() -> None:
    with managed("mariadb") as mariadb:
        ((answer,),) = query(mariadb, "select version()")
        assert mariadb.version
        assert answer.split("-")[0] == mariadb.version


def test_mysql_is_another_word_for_it() -> None:
    with managed("mysql") as mariadb:
        assert (mariadb.service, mariadb.name) == ("mariadb", "mariadb")


# -- options -----------------------------------------------------------------------------------------------------


def test_settings_reach_the_server() -> None:
    given = {"max_connections": 33, "sql-mode": "ANSI,TRADITIONAL", "event_scheduler": True, "log_bin": "changes"}
    with managed("mariadb", settings=given) as mariadb:
        ((connections, mode, scheduler, changes, charset, zone),) = query(
            mariadb,
            "select @@max_connections, @@sql_mode, @@event_scheduler, @@log_bin, @@character_set_server, @@time_zone",
        )
        assert (connections, scheduler, changes, charset, zone) == (33, "ON", 1, "utf8mb4", "+00:00")
        assert {"ANSI", "TRADITIONAL"} <= set(mode.split(","))


def test_its_directory_may_be_deeper_than_a_socket_s_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = home / ("x" * 120)
    deep.mkdir()
    deep.chmod(0o711)
    monkeypatch.setenv("SERVICECTX_HOME", str(deep))
    with managed("mariadb") as mariadb:
        ((folder,),) = query(mariadb, "select @@datadir")
        assert folder.startswith(str(deep))
    shutil.rmtree(deep)


@pytest.mark.parametrize("bad", [{"no_such_setting": 1}, {"default-time-zone": "nowhere"}])
def test_a_bad_setting_fails_with_the_server_s_own_words(bad: dict[str, Any]) -> None:
    with pytest.raises(StartFailed) as caught, managed("mariadb", settings=bad):
        pass
    assert caught.value.exit_status
    (name,) = bad
    assert name in str(caught.value.log_tail) or str(bad[name]) in str(caught.value.log_tail)


def test_a_user_that_cannot_be_fails_at_once_with_the_server_s_own_words() -> None:
    started = time.monotonic()
    with pytest.raises(StartFailed, match="too long for user name"), managed("mariadb", user="x" * 200, timeout=60):
        pass
    assert time.monotonic() - started < 50


@pytest.mark.parametrize("ours", ["port", "bind_address", "Init-File", "socket", "skip_name_resolve"])
def test_settings_that_would_lead_elsewhere_are_refused(ours: str) -> None:
    with pytest.raises(InvalidOption, match="set by servicectx"), managed("mariadb", settings={ours: "1"}):
        pass


def test_the_machine_s_own_configuration_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".my.cnf").write_text("[mariadbd]\nmax_connections=44\n[client]\npassword=other\nport=1\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MYSQL_HOME", str(tmp_path))
    file = tmp_path / "schema.sql"
    file.write_text("create table made (id int);")
    with managed("mariadb", setup=[file]) as mariadb:
        assert query(mariadb, "select @@max_connections") == [(200,)]
        assert query(mariadb, "show tables") == [("made",)]


def test_a_server_without_its_installer_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tmp_path / "bin/mysqld"
    server.parent.mkdir()
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    monkeypatch.setenv("SERVICECTX_MARIADB_BIN", str(server.parent))
    with pytest.raises(BinaryNotFound, match="MySQL's own server is not supported"), managed("mariadb"):
        pass


# -- set-up ------------------------------------------------------------------------------------------------------

ROUTINE = """
create table counted (n int);
delimiter //
create procedure fill() begin insert into counted values (1), (2); select 'ä'; end //
delimiter ;
call fill();
"""


def test_files_of_a_set_up_run_through_the_client(tmp_path: Path) -> None:
    file = tmp_path / "schema.sql"
    file.write_text(ROUTINE)
    with managed("mariadb", setup=[file]) as mariadb:
        assert query(mariadb, "select sum(n) from counted") == [(3,)]


def test_an_error_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "broken.sql"
    file.write_text("create table a (id int);\nselect * from nowhere;\ncreate table b (id int);\n")
    with pytest.raises(SetupFailed, match=r"(?s)broken\.sql: .*ERROR 1146 \(42S02\) at line 2"):
        managed("mariadb", setup=[file]).__enter__()


def test_a_snapshot_keeps_the_data_and_not_the_password(home: Path, tmp_path: Path) -> None:
    def fill(details: MariadbDetails) -> None:
        put(details, "colour", "green")
        query(details, "create user app@'%' identified by 'secret'")

    seen: set[str] = set()
    for _ in range(2):
        with managed("mariadb", setup=fill, snapshot="one") as mariadb:
            assert get(mariadb, "colour") == "green"
            app = mariadb.model_copy(update={"user": "app", "password": "secret", "dbname": "information_schema"})
            assert query(app, "select current_user()") == [("app@%",)]
            seen.add(mariadb.password)
    assert len(seen) == 2


# -- namespaces --------------------------------------------------------------------------------------------------


def test_a_namespace_is_dropped_although_somebody_holds_its_tables() -> None:
    with managed("mariadb") as mariadb:
        with isolated(mariadb) as mine:
            put(mine, "a", "1")
            holder = pymysql.connect(**mine.connect_args)
            holder.cursor().execute("select * from kept for update")
            assert databases(mariadb) == [mine.dbname]
        assert databases(mariadb) == []
        with pytest.raises(pymysql.OperationalError):
            holder.ping(reconnect=False)
        holder.close()


def test_what_others_use_from_outside_is_left_to_them(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mariadb_databases, "DROP_TIMEOUT", 0.0)
    caplog.set_level("INFO", "servicectx")
    with managed("mariadb") as mariadb, closing(pymysql.connect(**mariadb.connect_args)) as other:
        with isolated(mariadb) as mine:
            put(mine, "a", "1")
            other.cursor().execute(f"select * from `{mine.dbname}`.kept")
        assert "Lock wait timeout" in caplog.text
        assert databases(mariadb) == [mine.dbname]
        other.ping(reconnect=False)


def test_what_a_killed_user_left_is_removed_by_the_next() -> None:
    with managed("mariadb") as mariadb:
        killed.in_a_namespace(mariadb)
        (left,) = databases(mariadb)
        with isolated(mariadb) as mine:
            assert databases(mariadb) == [mine.dbname]
            assert mine.dbname != left


def test_what_is_kept_is_swept_by_nobody() -> None:
    with managed("mariadb") as mariadb:
        killed.in_a_namespace(mariadb)
        (left,) = databases(mariadb)
        service, kept = registry.find("mariadb"), mariadb.model_copy(update={"dbname": left})
        MariadbDatabases(mariadb).keep(kept)
        with isolated(mariadb):
            assert left in databases(mariadb)
        assert databases(mariadb) == [left]
        command = ["sh", "-c", f"{service.shell_command(kept)} --skip-column-names -e 'select value from kept'"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "behind\n"


def test_set_ups_of_a_namespace_run_in_it(tmp_path: Path) -> None:
    file = tmp_path / "schema.sql"
    file.write_text(ROUTINE)
    with managed("mariadb") as mariadb, isolated(mariadb, setup=file) as mine:
        assert query(mine, "select sum(n) from counted") == [(3,)]
        assert query(mariadb, "show tables") == []


def test_what_somebody_elsewhere_left_on_a_server_from_outside_goes_after_a_day() -> None:
    with managed("mariadb") as mariadb:
        names = [f"sc_elsewhere_7_{int(time.time()) - age:08x}{'0' * 10}" for age in (3600, 90000)]
        for name in names:
            query(mariadb, f"create database {name}")
        with isolated(mariadb):
            assert set(names) < set(databases(mariadb))
        with isolated(mariadb.model_copy(update={"external": True})):
            pass
        assert databases(mariadb) == names[:1]


def test_a_user_without_rights_is_told_what_is_missing() -> None:
    with managed("mariadb") as mariadb:
        query(mariadb, "create user app@'%' identified by 'secret'")
        app = mariadb.model_copy(update={"user": "app", "password": "secret", "external": True})
        with pytest.raises(NotIsolable, match=r"GRANT ALL ON `sc\\_%`\.\* TO app"), isolated(app):
            pass
        query(mariadb, r"grant all on `sc\_%`.* to app")
        with isolated(app) as mine:
            put(mine, "a", "1")
            assert get(mine, "a") == "1"
        assert databases(mariadb) == []


# -- the wire ----------------------------------------------------------------------------------------------------


def login(details: MariadbDetails) -> tuple[str, int, str, str]:
    return details.host, details.port, details.user, details.password


def test_values_of_every_length_are_read() -> None:
    with managed("mariadb") as mariadb, closing(Connection(*login(mariadb), "test", 60)) as connection:
        for length in (0, 1, 250, 251, 252, 65535, 65536, 1 << 20):
            assert connection.run(f"select repeat('x', {length}), 'another'") == ["x" * length]
        assert connection.run("select null union all select 'ä'") == [None, "ä"]
        assert connection.run("do 1") == []
        with pytest.raises(Refused, match="syntax") as caught:
            connection.run("no sql")
        assert caught.value.code == 1064
        assert connection.run("select 1") == ["1"]


def test_a_user_of_another_plugin_is_told_so() -> None:
    with managed("mariadb") as mariadb:
        query(mariadb, "install soname 'auth_ed25519'")
        query(mariadb, "create user other@'%' identified via ed25519 using password('secret')")
        with pytest.raises(Refused, match="logs in with client_ed25519"):
            Connection(mariadb.host, mariadb.port, "other", "secret", "", 60)


def test_a_server_that_asks_once_more_is_answered() -> None:
    with managed("mariadb", settings={"unix_socket": True}) as mariadb:
        ways = "unix_socket or mysql_native_password using password('secret')"
        query(mariadb, f"create user two@'%' identified via {ways}")
        with closing(Connection(mariadb.host, mariadb.port, "two", "secret", "", 60)) as connection:
            assert connection.run("select current_user()") == ["two@%"]


def test_one_that_has_no_connection_left_is_joined_all_the_same() -> None:
    with managed("mariadb", settings={"max_connections": 10}) as mariadb:
        held = [pymysql.connect(**mariadb.connect_args) for _ in range(11)]  # one more for a user with all rights
        with pytest.raises(pymysql.OperationalError, match="Too many connections"):
            pymysql.connect(**mariadb.connect_args)
        with managed("mariadb", settings={"max_connections": 10}) as joined:
            assert joined == mariadb
        for connection in held:
            connection.close()
