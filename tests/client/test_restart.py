"""`restart()`, `logs()`, `pid` and `exec()` of an entered `managed()`: outages, other users, kills at every step."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from servicectx import BinaryNotFound, NotSupported, ServiceDied, StartTimeout, isolated, managed
from servicectx.testing import FakeService
from tests.actor import Actor
from tests.detector import Home, wait_for

NORMAL = 60.0  # seconds: longer than a restart on a busy machine
BEFORE_THE_END = ["restart-received", "restart-ending"]
AFTER_THE_END = ["restart-starting", "restarted"]


@pytest.fixture
def actors() -> Iterator[Home]:
    home = Home()
    yield home
    home.remove()


# -- what a restart keeps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("keep_data", [False, True])
def test_data_port_and_password_stay(home: Path, kill: bool, keep_data: bool, caplog: pytest.LogCaptureFixture) -> None:
    service = managed("postgres", keep_data=keep_data)
    with service as pg, isolated(pg) as database:
        with psycopg.connect(database.url) as connection:
            connection.execute("create table orders as select 'pears' as item")
        connection = psycopg.connect(database.url)
        with psycopg.connect(pg.url) as whole:
            whole.execute("create table lasting as select 'a table' as item")
        for _ in range(2):
            before, details = service.pid, service.details
            service.restart(kill=kill)
            assert service.pid not in (None, before)
            assert before is not None
            assert not psutil.pid_exists(before)
            assert service.details is details
            assert service.alive
            assert service.failure is None
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
            connection.close()
            connection = psycopg.connect(database.url)
            assert connection.execute("select item from orders").fetchall() == [("pears",)]
        connection.close()
        for _ in range(3):  # the cached connection of this process, and the prefetcher, ended with the server
            with isolated(pg) as another, psycopg.connect(another.url) as new:
                new.execute("create table orders ()")
        ended = "received fast shutdown request" in service.logs()
        assert ended is not kill
        assert ("was not properly shut down" in service.logs()) is kill
    if keep_data:
        (path,) = re.findall("servicectx open (.*)", caplog.text)
        with managed("postgres", data=path) as again, psycopg.connect(again.url) as connection:
            assert connection.execute("select item from lasting").fetchall() == [("a table",)]
        shutil.rmtree(path)


@pytest.mark.parametrize("kill", [False, True])
def test_data_that_is_written_only_at_a_clean_end_stays_too(home: Path, kill: bool) -> None:
    service = managed("redis")
    with service as details, redis.Redis.from_url(details.url) as client:
        client.set("colour", "green")
        service.restart(kill=kill)
        assert client.get("colour") == b"green"


def test_other_users_see_an_outage_and_the_same_address(home: Path) -> None:
    service, other = managed("redis"), managed("redis")
    with service as details, other as same:
        assert other.joined
        with redis.Redis.from_url(same.url, retry=None) as client:
            client.set("colour", "green")
            id = client.info("server")["run_id"]
            service.restart()
            assert client.info("server")["run_id"] != id
            assert client.get("colour") == b"green"
        assert other.pid == service.pid
        assert other.alive
        other.restart()
        with managed("redis") as third:
            assert third.port == details.port
    assert not service.alive


def test_other_users_see_the_facts_that_a_restart_changed(home: Path) -> None:
    """Address and log stay; the process id is new for users who joined before, for later ones, and after the end."""
    command = [sys.executable, "-m", "http.server", "--bind", "{host}", "{port}"]
    service, other, later = (managed("command", command=command) for _ in range(3))
    with service as first, other as before:
        log = other.log_path
        assert other.details is before
        service.restart(empty=True)
        after = other.details
        assert after is not None
        assert other.pid == after.pid != before.pid
        assert after == service.details == first.model_copy(update={"pid": after.pid})
        assert other.details is after
        assert (service.details.is_manager, after.is_manager) == (True, False)
        assert (other.log_path, other.logs()) == (log, service.logs())
        with later as joined:
            assert joined == after
        other.restart(empty=True)
        assert service.details == other.details != after
    last = service.details
    assert last is not None
    assert last.pid not in (first.pid, after.pid)


def test_users_who_restart_at_once_take_turns(home: Path) -> None:
    services = [managed("redis") for _ in range(4)]
    for service in services:
        service.__enter__()
    pids = {services[0].pid}
    errors: list[BaseException] = []

    def restart(number: int) -> None:
        try:
            services[number].restart(kill=number % 2 == 0)
        except BaseException as error:  # reported below
            errors.append(error)

    threads = [threading.Thread(target=restart, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert services[0].pid not in pids
    assert all(service.alive for service in services)
    for service in services:
        service.__exit__()


def test_a_joiner_waits_for_the_end_of_a_restart(actors: Home) -> None:
    with Actor(actors, pause_at="restart-starting") as user, Actor(actors) as joiner:
        port = user.enter()["port"]
        user.send("restart")
        user.wait_paused()
        joiner.send("enter", service="redis", arguments={})
        wait_for(lambda: len(list(actors.own.glob("*/leases/*"))) == 2, NORMAL)
        assert not actors.servers()
        user.resume()
        assert "error" not in user.hear(NORMAL)
        assert joiner.hear(NORMAL)["port"] == port
        user.leave()
        assert joiner.ask("use")["used"] == "42"
        joiner.leave()
        actors.wait_until_empty()


# -- kills ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["restart-requested", *BEFORE_THE_END, *AFTER_THE_END])
def test_the_requester_is_killed(actors: Home, step: str) -> None:
    """The other user goes on, with a server that was restarted once or not at all, and can restart it."""
    with Actor(actors, pause_at=step) as user, Actor(actors) as other:
        port = user.enter()["port"]
        assert other.enter()["port"] == port
        user.send("restart")
        user.wait_paused()
        user.kill()
        user.resume()
        other.send("restart")
        reply = other.hear(NORMAL)
        assert "error" not in reply, reply
        assert other.ask("use")["used"] == "42"
        assert other.ask("details")["port"] == port
        (server,) = actors.servers()
        assert server.pid == reply["pid"]
        assert not list(actors.own.glob("*/restarts/*"))
        other.leave()
        actors.wait_until_empty()


@pytest.mark.parametrize("step", [*BEFORE_THE_END, *AFTER_THE_END])
@pytest.mark.parametrize("service", ["redis", "postgres"])
def test_the_keeper_is_killed(actors: Home, step: str, service: str) -> None:
    with Actor(actors, pause_at=step) as user, Actor(actors) as other:
        for each in (user, other):
            each.send("enter", service=service, arguments={})
            assert "error" not in each.hear(NORMAL)
        user.send("restart")
        keeper = user.wait_paused()
        os.kill(keeper, signal.SIGKILL)
        reply = user.hear(NORMAL)
        assert reply["error"] == "ServiceDied", reply
        assert "its keeper" in reply["message"]
        assert other.ask("alive")["alive"] is False
        with Actor(actors) as next_user:
            next_user.send("enter", service=service, arguments={})
            assert "error" not in next_user.hear(NORMAL)
            assert next_user.ask("use")["used"] == "42"
            user.leave()
            other.leave()
            next_user.leave()
        actors.wait_until_empty()


@pytest.mark.parametrize("step", ["restart-ending", "restart-starting"])
def test_all_are_killed(actors: Home, step: str) -> None:
    with Actor(actors, pause_at=step) as user:
        user.enter()
        user.send("restart")
        keeper = user.wait_paused()
        user.kill()
        os.kill(keeper, signal.SIGKILL)
        actors.wait_until_empty()


def test_down_during_a_restart(actors: Home) -> None:
    with Actor(actors, pause_at="restart-starting") as user:
        user.enter()
        user.send("restart")
        user.wait_paused()
        down = [sys.executable, "-m", "servicectx", "down", "--all", "--force"]
        home = {"SERVICECTX_HOME": str(actors.path)}
        done = subprocess.run(down, env=os.environ | home, capture_output=True, text=True, check=False)
        assert "is being started or stopped" in done.stderr, done.stderr
        user.resume()
        assert "error" not in user.hear(NORMAL)
        done = subprocess.run(down, env=os.environ | home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        actors.wait_until_empty()


# -- failures ------------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_start_again_is_dead_for_all_users(home: Path) -> None:
    service, other = managed("postgres"), managed("postgres")
    with service as pg, other:
        with psycopg.connect(pg.url, autocommit=True) as connection:
            connection.execute("alter system set shared_preload_libraries = 'nothing'")
        with pytest.raises(ServiceDied, match="did not start again when it was restarted") as failed:
            service.restart()
        assert 'could not access file "nothing"' in (failed.value.log_tail or "")
        assert not other.alive
        assert isinstance(other.failure, ServiceDied)
        with pytest.raises(ServiceDied):
            other.restart()


@pytest.mark.parametrize("further", [False, True])
def test_a_port_that_another_program_took_is_named(actors: Home, further: bool) -> None:
    """The port of redis, and the further port of etcd."""
    with Actor(actors, pause_at="restart-starting") as user, socket.socket() as rival:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            peer = probe.getsockname()[1]
        service, arguments = ("etcd", {"ports": {"peer": peer}}) if further else ("redis", {})
        user.send("enter", service=service, arguments=arguments)
        port = peer if further else user.hear(NORMAL)["port"]
        if further:
            assert "error" not in user.hear(NORMAL)
        user.send("restart", arguments={"timeout": 1.0})
        user.wait_paused()
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", port))
        rival.listen()
        user.resume()
        reply = user.hear(NORMAL)
        assert reply["error"] == "ServiceDied", reply
        assert "it did not start again when it was restarted" in reply["message"]
        assert f"its port {port} is in use by process {os.getpid()} (" in reply["message"]
        user.leave()
        actors.wait_until_empty()


def test_a_service_without_data_starts_again_empty_only_on_request(home: Path) -> None:
    service = managed("moto")
    with service as moto:
        with pytest.raises(NotSupported, match=r"restart\(\) is not possible: .*; restart\(empty=True\) starts it"):
            service.restart()
        assert service.alive
        before = service.pid
        service.restart(empty=True)
        assert service.pid != before
        assert service.alive
        assert moto.port == service.details.port  # type: ignore[union-attr]


def test_a_service_with_data_is_not_emptied(home: Path) -> None:
    service = managed("redis")
    with service, pytest.raises(NotSupported, match="its data stays over a restart; omit empty=True"):
        service.restart(empty=True)


def test_an_external_service_has_no_server_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with managed("redis", scope="private") as details:
        monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", details.model_dump_json())
        service = managed("redis")
        with service:
            assert service.pid is None
            for operation in (service.restart, service.logs):
                with pytest.raises(NotSupported, match="its details are external: servicectx did not start it"):
                    operation()
            assert "PONG" in service.exec(["valkey-cli", "ping"]).stdout


@pytest.mark.parametrize("call", ["restart", "logs", "exec"])
def test_an_object_that_is_not_entered(home: Path, call: str) -> None:
    service = managed("redis")
    arguments = (["valkey-cli"],) if call == "exec" else ()
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"not entered.*inside its with block"):
            getattr(service, call)(*arguments)
        with service:
            pass


def test_a_keeper_that_does_not_answer(home: Path) -> None:
    service = managed("redis", scope="private")
    with service:
        keeper = psutil.Process(service.pid).parent()
        assert keeper is not None
        keeper.suspend()
        try:
            with pytest.raises(StartTimeout, match="its keeper did not answer the request for a restart"):
                service.restart(timeout=0.2)
        finally:
            keeper.resume()
        before = service.pid
        service.restart()  # the request that was given up is not carried out a second time
        assert service.pid != before
        assert "restarts" not in [path.parent.name for path in home.rglob("*") if path.is_file()]


def test_an_instance_of_an_older_version(home: Path) -> None:
    service = managed("redis", scope="private")
    with service:
        (folder,) = home.glob("servicectx-home/*/restarts")
        folder.rmdir()
        with pytest.raises(NotSupported, match="an older version of servicectx started it"):
            service.restart()
        assert service.alive


# -- logs, pid, exec -----------------------------------------------------------------------------------------------


def test_logs(home: Path) -> None:
    service = managed(FakeService)
    with service as fake:
        fake.ask("PING")
        text = service.logs()
        assert text
        assert service.logs(lines=1) == text.splitlines(keepends=True)[-1]
        assert service.logs(lines=0) == ""


def test_logs_of_a_dead_server(home: Path) -> None:
    service = managed("redis")
    with service:
        assert "eady to accept connections" in service.logs()
        os.kill(service.pid or 0, signal.SIGKILL)
        wait_for(lambda: service.failure is not None, NORMAL)
        assert service.pid is None or not psutil.pid_exists(service.pid)


def test_exec(home: Path) -> None:
    service = managed("postgres", dbname="shop")
    with service:
        done = service.exec(["psql", "-At"], input="select current_database();")
        assert (done.returncode, done.stdout) == (0, "shop\n")
        with pytest.raises(subprocess.CalledProcessError) as failed:
            service.exec(["psql", "-c", "select * from nothing"])
        assert 'relation "nothing" does not exist' in failed.value.stderr
        assert service.exec(["psql", "-c", "select * from nothing"], check=False).returncode == 1
        assert "PGPORT" in service.exec([sys.executable, "-c", "import os; print(*os.environ)"]).stdout
        assert "CREATE TABLE" not in service.exec(["pg_dump", "--schema-only"]).stdout  # beside the server
        with pytest.raises(subprocess.TimeoutExpired):
            service.exec(["psql", "-c", "select pg_sleep(60)"], timeout=0.5)
        with pytest.raises(BinaryNotFound, match="no program 'no-such-client' was found") as missing:
            service.exec(["no-such-client"])
        assert missing.value.looked[1].startswith("PATH (")
        for wrong in ("psql -c 'select 1'", ""):
            with pytest.raises(ValueError, match=r'exec\(\) takes a list of arguments, such as \["psql"'):
                service.exec(wrong)


def test_async(home: Path) -> None:
    async def use() -> None:
        service = managed("postgres", scope="private")
        async with service:
            before = service.pid
            await service.restart_async(kill=True)
            assert service.pid != before
            done = await service.exec_async(["psql", "-At"], input="select 40 + 2")
            assert done.stdout == "42\n"
            with pytest.raises(subprocess.CalledProcessError):
                await service.exec_async(["psql", "-c", "nonsense"])
            with pytest.raises(subprocess.TimeoutExpired):
                await service.exec_async(["psql", "-c", "select pg_sleep(60)"], timeout=0.5)
            running = asyncio.create_task(service.exec_async(["psql", "-c", "select pg_sleep(600)"]))
            query = "select count(*) from pg_stat_activity where query like 'select pg_sleep(600)%'"
            while (await service.exec_async(["psql", "-Atc", query])).stdout == "0\n":
                assert not running.done()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert not [child for child in psutil.Process().children() if child.name() == "psql"]

    asyncio.run(use())
