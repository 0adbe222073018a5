"""`socket=True`: clients of four services use a Unix socket, whose path is always short."""

import asyncio
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pymysql
import pytest
import redis as redis_client
import sqlalchemy
from pymemcache.client.base import Client

from servicectx import InvalidOption, MariadbDetails, MemcachedDetails, PostgresDetails, RedisDetails, isolated, managed
from servicectx.services import binaries, registry
from tests import servers
from tests.detector import wait_for
from tests.services import table

SERVICES = ("postgres", "redis", "mariadb", "memcached")


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresDetails]:
    with managed("postgres", scope="private", socket=True, scram_iterations=4096) as details:  # pg8000's least
        yield details


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariadbDetails]:
    with managed("mariadb", scope="private", socket=True) as details:
        yield details


PEER = "select inet_server_addr() is null"


def test_postgres_clients_are_on_the_socket(postgres: PostgresDetails) -> None:
    assert postgres.socket.endswith(f"/.s.PGSQL.{postgres.port}")
    for address in (postgres.url, postgres.dsn):
        with psycopg.connect(address) as connection:
            assert connection.execute(PEER).fetchone() == (True,)
    urls = [postgres.sqlalchemy_url, *map(postgres.url_for, ("psycopg", "psycopg2"))]
    for url in urls:
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as made:
            assert made.execute(sqlalchemy.text(PEER)).scalar() is True
        engine.dispose()
    assert f"//127.0.0.1:{postgres.port}/" in postgres.url_for("jdbc")
    for url in (postgres.url_for("pg8000"), postgres.model_copy(update={"socket": ""}).url_for("pg8000")):
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as made:
            assert made.execute(sqlalchemy.text(PEER)).scalar() is ("unix_sock=" in url)
        engine.dispose()


def test_asyncpg_is_on_the_socket(postgres: PostgresDetails) -> None:
    import asyncpg
    from sqlalchemy.ext.asyncio import create_async_engine

    async def use() -> list[Any]:
        connection = await asyncpg.connect(postgres.url)
        found = [await connection.fetchval(PEER)]
        await connection.close()
        for url in (postgres.async_sqlalchemy_url, postgres.url_for("asyncpg")):
            engine = create_async_engine(url)
            async with engine.connect() as made:
                found.append((await made.execute(sqlalchemy.text(PEER))).scalar())
            await engine.dispose()
        return found

    assert asyncio.run(use()) == [True, True, True]


def test_the_environment_leads_to_the_socket_of_postgres(
    postgres: PostgresDetails, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PGHOST", "db.example.com"), ("PGPORT", "1"), ("PGHOSTADDR", "127.0.0.9")):
        monkeypatch.setenv(name, value)
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute(PEER).fetchone() == (True,)
    engine = sqlalchemy.create_engine(postgres.sqlalchemy_url)  # with PGHOSTADDR it has to use the port
    with engine.connect() as made:
        assert made.execute(sqlalchemy.text("select inet_server_port()")).scalar() == postgres.port
    engine.dispose()
    script = f"import psycopg; print(psycopg.connect('').execute({PEER!r}).fetchone())"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=postgres.environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "(True,)\n"


def test_databases_of_postgres_have_the_socket(postgres: PostgresDetails) -> None:
    with isolated(postgres) as mine:
        assert mine.socket == postgres.socket
        with psycopg.connect(mine.url) as connection:
            assert connection.execute(f"{PEER}, current_database()").fetchone() == (True, mine.dbname)


def test_redis_clients_are_on_the_socket() -> None:
    with managed("redis", socket=True) as redis:
        for url in (redis.env()["REDIS_URL"], redis.env()["VALKEY_URL"], redis.model_copy(update={"db": 3}).url):
            with redis_client.Redis.from_url(url) as connection:
                info = connection.client_info()
                assert redis.socket in str(info["addr"])
                assert info["db"] == int(url[-1])
        assert redis.url == f"unix://:{redis.password}@{redis.socket}?db=0"
        client = registry.find("redis").client(redis)
        assert client
        command = [binaries.find(client.search), *client.arguments, "client", "info"]
        if not command[0].endswith("iredis"):
            done = subprocess.run(
                command, env=os.environ | client.environment, capture_output=True, text=True, check=True
            )
            assert redis.socket in done.stdout


def test_mariadb_clients_are_on_the_socket(mariadb: MariadbDetails) -> None:
    with closing(pymysql.connect(**mariadb.connect_args)) as connection, connection.cursor() as cursor:
        cursor.execute("select user()")
        assert cursor.fetchall() == (("root@localhost",),)
    for url in (mariadb.sqlalchemy_url, mariadb.url_for("pymysql")):
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as made:
            assert made.execute(sqlalchemy.text("select user()")).scalar() == "root@localhost"
        engine.dispose()
    for driver in ("mysqlclient", "mysqlconnector"):
        assert mariadb.url_for(driver).endswith(f"?unix_socket={mariadb.socket}")
    assert f"{mariadb.host}:{mariadb.port}" in mariadb.url_for("jdbc")


def test_asyncmy_and_aiomysql_are_on_the_socket(mariadb: MariadbDetails) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    async def use(url: str) -> Any:
        engine = create_async_engine(url)
        async with engine.connect() as made:
            found = (await made.execute(sqlalchemy.text("select user()"))).scalar()
        await engine.dispose()
        return found

    for url in (mariadb.async_sqlalchemy_url, *map(mariadb.url_for, ("asyncmy", "aiomysql"))):
        assert asyncio.run(use(url)) == "root@localhost"
    by_port = mariadb.model_copy(update={"socket": ""}).url_for("aiomysql")
    assert asyncio.run(use(by_port)) == "root@127.0.0.1"


def test_the_mariadb_program_is_on_the_socket(mariadb: MariadbDetails) -> None:
    client = registry.find("mariadb").client(mariadb)
    assert client
    program = binaries.find(client.search)
    own = [program, *client.arguments, "--skip-column-names", "--execute=select user()"]
    by_environment = [program, "--no-defaults", "-u", "root", "--skip-column-names", "--execute=select user()"]
    for command in (own, by_environment):
        done = subprocess.run(command, env=mariadb.environment(), capture_output=True, text=True, check=True)
        assert done.stdout == "root@localhost\n"


def test_memcached_has_the_socket_alone() -> None:
    with managed("memcached", socket=True) as memcached:
        assert (memcached.port, memcached.server, memcached.url) == (
            *(0, memcached.socket),
            f"unix:{memcached.socket}",
        )
        for server in (memcached.server, memcached.url):
            with closing(Client(server)) as client:
                client.set("a", "1", noreply=False)
                assert client.get("a") == b"1"
        assert memcached.env()["MEMCACHED_SERVERS"] == memcached.socket
        with managed("memcached", name="second", socket=True) as second, isolated(second) as mine:
            assert second.socket != memcached.socket
            table_usage = table.usage("memcached")
            assert table_usage
            table_usage.put(mine, "b", "2")
        with managed("memcached", socket=True) as joined:
            assert joined == memcached
        assert MemcachedDetails.parse(memcached.model_dump_json()) == memcached


def test_memcached_has_a_socket_or_a_port() -> None:
    with pytest.raises(InvalidOption, match="with these options memcached listens on no port") as caught:
        managed("memcached", socket=True, port=11211).__enter__()
    assert caught.value.option == "port"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", ["x" * 90, "a b,c"])
def test_a_long_or_odd_path_does_not_matter(service: str, name: str, home: Path) -> None:
    place = Path(tempfile.mkdtemp(dir=home.parent), name)
    place.mkdir()
    for passable in (place.parent, place):
        passable.chmod(0o711)
    try:
        usage = table.usage(service)
        assert usage
        with managed(service, socket=True, storage=place) as details:
            usage.put(details, "a", "1")
            assert re.fullmatch(r"/tmp/servicectx-\w{12}", str(Path(details.socket).parent))
            assert os.stat(Path(details.socket).parent).st_mode & 0o777 == 0o700
        assert not Path(details.socket).parent.exists()
    finally:
        shutil.rmtree(place.parent)


@pytest.mark.parametrize("service", ["redis", "postgres"])
def test_the_short_directory_is_removed_after_kills(service: str, home: Path) -> None:
    """First of the user, then of keeper, watchdog and server at once: then the next user removes it."""
    place = Path(tempfile.mkdtemp(dir=home.parent), "x" * 90)
    place.mkdir()
    place.parent.chmod(0o711)  # the account of a server can pass
    script = (
        "import sys; from servicectx import managed\n"
        f"lease = managed({service!r}, socket=True, storage={str(place)!r})\n"
        "details = lease.__enter__()\n"
        "print(details.socket, details.port, flush=True); sys.stdin.readline()"
    )
    killed: list[psutil.Process] = []
    try:
        for everything in (False, True):
            with subprocess.Popen(
                [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as user:
                assert user.stdout
                path, port = user.stdout.readline().split()
                if everything:
                    server = servers.owner(int(port))
                    killed += [*server.parents()[1::-1], server]
                    for process in killed:
                        os.kill(process.pid, signal.SIGKILL)
                user.kill()
            if everything:
                wait_for(functools.partial(_are_dead, killed), 20)  # a start skips what still lives
                assert Path(path).parent.is_dir()
                with managed("redis", name="next"):
                    pass
            wait_for(lambda path=path: not Path(path).parent.exists(), 60)  # type: ignore[misc]
    finally:
        shutil.rmtree(place.parent)


def test_a_snapshot_may_have_a_socket() -> None:
    for _ in range(2):
        with (
            managed("redis", socket=True, setup=store, snapshot="1") as redis,
            redis_client.Redis.from_url(redis.url) as connection,
        ):
            assert connection.get("a") == b"1"


def store(redis: RedisDetails) -> None:
    with redis_client.Redis.from_url(redis.url) as connection:
        connection.set("a", "1")


def _are_dead(processes: list[psutil.Process]) -> bool:
    return all(map(_is_dead, processes))


def _is_dead(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
