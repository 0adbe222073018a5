"""A real NATS server, with its real client."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client

from servicectx import InvalidOption, NatsDetails, StartFailed, isolated, managed
from tests import servers
from tests.services import killed
from tests.services.row import Login, Row, no_password, password

TOKEN = Login("token", {"token": "a token"}, {"token": "a token", "user": "", "password": ""}, ({"token": "guess"},))

ROWS = [
    Row("nats", logins=(password(user="ada é"), TOKEN, no_password(user="", token=""))),
]


@asynccontextmanager
async def connected(details: NatsDetails) -> AsyncIterator[Client]:
    connection = Client()  # nats.connect() leaves its socket open after a rejected login
    try:
        await connection.connect(**details.nats_py, allow_reconnect=False, connect_timeout=20)
        yield connection
    finally:
        await connection.close()


def put(details: NatsDetails, name: str, value: str) -> None:
    async def work() -> None:
        async with connected(details) as connection:
            bucket = await connection.jetstream().create_key_value(bucket=f"{details.stream_prefix}texts")
            await bucket.put(name, value.encode())

    asyncio.run(work())


def get(details: NatsDetails, name: str) -> str | None:
    async def work() -> str | None:
        async with connected(details) as connection:
            try:
                bucket = await connection.jetstream().key_value(f"{details.stream_prefix}texts")
                found = await bucket.get(name)
            except (nats.js.errors.BucketNotFoundError, nats.js.errors.KeyNotFoundError):
                return None
            return (found.value or b"").decode()

    return asyncio.run(work())


def streams(details: NatsDetails) -> list[str]:
    async def work() -> list[str]:
        async with connected(details) as connection:
            return [str(info.config.name) for info in await connection.jetstream().streams_info()]

    return sorted(asyncio.run(work()))


def test_messages_reach_those_who_subscribed() -> None:
    async def work(details: NatsDetails) -> None:
        async with connected(details) as connection:
            subscription = await connection.subscribe("orders.>")
            await connection.publish("orders.new", "ä".encode())
            assert (await subscription.next_msg(timeout=20)).data == "ä".encode()

    with managed("nats") as details:
        asyncio.run(work(details))


def test_streams_keep_messages() -> None:
    async def work(details: NatsDetails) -> None:
        async with connected(details) as connection:
            stream = connection.jetstream()
            await stream.add_stream(name="ORDERS", subjects=["orders.*"])
            assert (await stream.publish("orders.new", b"1")).stream == "ORDERS"
            reader = await stream.pull_subscribe("orders.*", durable="reader")
            (message,) = await reader.fetch(1, timeout=20)
            assert message.data == b"1"
            await message.ack()

    with managed("nats") as details:
        asyncio.run(work(details))


@pytest.mark.parametrize("wrong", [{"password": "guess"}, {"user": "root"}, {"user": "", "password": ""}])
def test_a_wrong_login_is_refused(wrong: dict[str, str]) -> None:
    async def work(bad: NatsDetails) -> None:
        async with connected(bad):
            pass

    with managed("nats") as details:
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            asyncio.run(work(details.model_copy(update=wrong)))
        with (
            pytest.raises(ConnectionRefusedError, match="Authorization Violation"),
            isolated(details.model_copy(update=wrong)),
        ):
            pass


def test_the_environment_is_enough_for_a_client() -> None:
    script = (
        "import asyncio, os, nats\n"
        "async def work():\n"
        "    connection = await nats.connect(os.environ['NATS_URL'], allow_reconnect=False)\n"
        "    await connection.flush()\n"
        "    print(connection.is_connected)\n"
        "    await connection.close()\n"
        "asyncio.run(work())\n"
    )
    with managed("nats") as details:
        result = subprocess.run(
            [sys.executable, "-c", script], env=os.environ | details.env(), capture_output=True, text=True, check=True
        )
        assert details.env()["NATS_PASSWORD"] == details.password
    assert result.stdout == "True\n"


def test_settings_reach_the_server() -> None:
    async def work(details: NatsDetails) -> None:
        async with connected(details) as connection:
            assert connection.max_payload == 4096
            assert (await connection.jetstream().account_info()).limits.max_memory == -1
            with pytest.raises(nats.js.errors.ServerError, match="insufficient memory"):
                await connection.jetstream().add_stream(
                    name="big", subjects=["big"], storage="memory", max_bytes=1 << 25
                )

    given = {"max_payload": 4096, "jetstream": {"max_memory_store": 1 << 24}}
    with managed("nats", settings=given) as details:
        asyncio.run(work(details))


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed) as caught, managed("nats", settings={"max_payload": "much"}):
        pass
    assert caught.value.exit_status == 1
    assert "nats.conf" in str(caught.value.log_tail)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("ours", ["port", "listen", "authorization", "Log_File", "tls", "accounts", "No_auth_user"])
def test_settings_that_would_lead_elsewhere_are_refused(ours: str) -> None:
    with pytest.raises(InvalidOption, match="set by servicectx"), managed("nats", settings={ours: 1}):
        pass


def test_a_token_is_a_login() -> None:
    with managed("nats", token="a token") as details:
        assert (details.user, details.password, details.token) == ("", "", "a token")
        assert details.url == f"nats://a%20token@127.0.0.1:{details.port}"
        assert NatsDetails.from_url(details.url).token == "a token"
        assert details.env()["NATS_TOKEN"] == "a token"
        with isolated(details) as mine:
            put(mine, "a", "1")
            assert get(mine, "a") == "1"
        for wrong in ({"token": "guess"}, {"token": ""}, {"token": "", "user": "nats", "password": "a token"}):
            with pytest.raises(nats.errors.Error, match="Authorization Violation"):
                streams(details.model_copy(update=wrong))


def test_without_a_login_every_client_may_connect() -> None:
    with managed("nats", password=None) as details:
        assert details.url == f"nats://127.0.0.1:{details.port}"
        put(details, "a", "1")
        with isolated(details) as mine:
            assert get(mine, "a") is None


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"password": "$2a$11$abc"}, "password.*begins with .2 as a bcrypt hash"),
        ({"token": "$2b$11$abc"}, "token.*begins with .2 as a bcrypt hash"),
        ({"token": "x", "password": "y"}, "token.*a token replaces user and password"),
        ({"token": "x", "user": "y"}, "token.*a token replaces user and password"),
        ({"user": "ada", "password": False}, "user.*then there are no users"),
    ],
)
def test_a_login_that_the_server_would_misread_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidOption, match=problem):
        managed("nats", **options).__enter__()


def test_the_version_is_told() -> None:
    with managed("nats") as details:
        program = servers.owner(details.port).exe()
        output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        assert details.version
        assert output == f"nats-server: v{details.version}\n"


def test_each_instance_has_a_password_and_streams_of_its_own() -> None:
    with managed("nats", name="a") as first, managed("nats", name="b") as second:
        assert first.password != second.password
        put(first, "a", "1")
        assert streams(first) == ["KV_texts"]
        assert streams(second) == []


def test_a_prefix_goes_before_subjects_and_streams() -> None:
    with managed("nats") as details, isolated(details) as one:
        assert one.prefix.endswith(".")
        assert one.stream_prefix == one.prefix[:-1] + "_"
        assert one.env()["NATS_PREFIX"] == one.prefix
        assert (details.prefix, details.stream_prefix) == ("", "")


def test_what_is_in_a_namespace_goes_with_it() -> None:
    with managed("nats") as details:
        put(details, "a", "0")
        with isolated(details) as one, isolated(details) as two:
            put(one, "a", "1")
            put(two, "a", "2")
            assert len(streams(details)) == 3
        assert streams(details) == ["KV_texts"]


def test_what_is_to_stay_outlives_its_maker() -> None:
    with managed("nats") as details:
        killed.and_kept(details)
        before = streams(details)
        assert len(before) == 2
        with isolated(details):
            assert streams(details) == before


def test_what_a_killed_user_left_is_removed_by_the_next() -> None:
    with managed("nats") as details:
        killed.in_a_namespace(details)
        assert len(streams(details)) == 1
        with isolated(details):
            assert streams(details) == []


def test_a_snapshot_keeps_streams() -> None:
    def fill(details: NatsDetails) -> None:
        put(details, "a", "1")

    with managed("nats", setup=fill, snapshot="one") as first:
        assert get(first, "a") == "1"
    with managed("nats", setup=fill, snapshot="one") as second:
        assert get(second, "a") == "1"
        assert second.password != first.password
