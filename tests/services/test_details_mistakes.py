"""External details: one error lists all mistakes, with guesses; file reads are bounded; silent servers are reported."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicectx import DetailsError, RedisDetails, managed, managed_all
from tests import servers


def refused(text: str) -> DetailsError:
    with pytest.raises(DetailsError) as caught:
        RedisDetails.parse(text, service="redis", name="r")
    return caught.value


def test_all_mistakes_are_reported_at_once() -> None:
    error = refused('{"hots": "h", "port": "1", "password": 5, "db": "x\\ny", "port": 0}')
    lines = str(error).splitlines()
    assert lines[0] == "details: 6 mistakes"
    for start in (
        "  field 'port': it is given more than once",
        "  field 'hots': unknown field; RedisDetails has service, name, host, port, external, setup, program, program_",
        "  field 'port': no server listens on port 0",
        "  field 'db': it has a newline",
        "  field 'host': Field required",
        "  field 'password': Input should be a valid string",
    ):
        assert any(line.startswith(start) for line in lines), start
    assert "did you mean 'host'?" in str(error)
    assert (error.field, error.problem) == ("port", "it is given more than once")
    assert [field for field, _ in error.problems or []] == ["port", "hots", "port", "db", "host", "password"]


@pytest.mark.parametrize(
    ("text", "field", "problem"),
    [
        ('{"host": "", "port": 1}', "host", "it is empty"),
        ('{"host": "  ", "port": 1}', "host", "it is empty"),
        ('{"host": "h", "port": 0}', "port", "port 0"),
        ('{"host": "h", "port": 65536}', "port", "less than or equal to 65535"),
        ('{"host": "h", "host": "i", "port": 1}', "host", "more than once"),
        ('{"host": "h", "port": 1, "password": "a\\nb"}', "password", "control character"),
        ('{"host": "h\\u0000", "port": 1}', "host", "control character"),
        ('{"host": "h", "port": 1, "prot": 2}', "prot", "did you mean 'port'?"),
        ('{"host": "h", "port": 1, "pasword": "x"}', "pasword", "did you mean 'password'?"),
        ("[" * 100_000, None, "nested too deeply"),
        ('{"host": "h", "port": 1' + "0" * 5000 + "}", None, "it is not JSON"),
        ('{"host": "h", "port": NaN}', None, ""),
    ],
)
def test_one_mistake(text: str, field: str | None, problem: str) -> None:
    error = refused(text)
    assert problem in str(error)
    assert error.problems is None
    assert field is None or error.field == field


# -- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fifo", "zero", "terminal", "socket", "directory", "gigabyte", "bytes"])
def test_a_file_is_read_within_bounds(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, problem = tmp_path / "details", "it is not a regular file"
    listener = socket.socket(socket.AF_UNIX)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind in ("zero", "terminal"):
        path.symlink_to({"zero": "/dev/zero", "terminal": "/dev/ptmx"}[kind])
    elif kind == "socket":
        listener.bind(str(path))
        problem = "it cannot be read"
    elif kind == "directory":
        path.mkdir()
        problem = "it is a directory; name the details file itself"
    elif kind == "gigabyte":
        with path.open("wb") as file:
            file.truncate(2**30)
        problem = "it is larger than 1 MiB"
    else:
        path.write_bytes(bytes(range(256)))
        problem = "it is not a text file"
    began = time.monotonic()
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", str(path))
    with listener:
        with pytest.raises(DetailsError, match=problem):
            managed("redis").__enter__()
        with pytest.raises(DetailsError, match=problem):
            RedisDetails.read(path)
    assert time.monotonic() - began < 2


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "details"
    path.write_text('{"service": "redis", "name": "r", "host": "h", "port": 1}', encoding="utf-8-sig")
    assert RedisDetails.read(path).host == "h"


# -- servers that do not answer ----------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address that neither accepts nor refuses connections: the queue of its socket is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()
        for client in waiting:
            client.close()


def given(host: str, port: int) -> str:
    return json.dumps({"host": host, "port": port, "password": "s3cret"})


def test_a_server_that_does_not_answer_is_reported_soon(
    silent: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", given(*silent))
    began = time.monotonic()
    with pytest.raises(DetailsError) as caught:
        managed("redis").__enter__()
    assert time.monotonic() - began < 2
    text = str(caught.value)
    assert text.startswith(f"SERVICECTX_REDIS_DETAILS: no server answers at 127.0.0.1:{silent[1]} (no answer in time)")
    assert "unset SERVICECTX_REDIS_DETAILS" in text
    assert "SERVICECTX_EXTERNAL_WAIT=30s" in text
    assert "s3cret" not in text


def refusal() -> str:
    began = time.monotonic()
    with pytest.raises(DetailsError) as caught:
        managed("redis").__enter__()
    assert time.monotonic() - began < 10, "2 s, and time for a busy machine"
    return str(caught.value)


def test_a_mute_server_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that accepts and sends nothing, as a proxy without a server, and a Redis that is stopped."""
    problem = "(it accepts connections, and sends no reply); start it"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", given(*listener.getsockname()))
        assert problem in refusal()
    monkeypatch.delenv("SERVICECTX_REDIS_DETAILS")
    server = managed("redis", scope="private")
    with server as redis:
        assert server.pid is not None
        monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", given(redis.host, redis.port))
        os.kill(server.pid, signal.SIGSTOP)
        try:
            assert problem in refusal()
        finally:
            os.kill(server.pid, signal.SIGCONT)
        external = managed("redis")
        with external as details:
            assert details.port == redis.port
            assert external.alive
            os.kill(server.pid, signal.SIGSTOP)
            assert not external.alive
            os.kill(server.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("host", "problem"), [("127.0.0.1", "Connection refused"), ("no-such-host.invalid", "("), ("a" * 70, "(")]
)
def test_a_server_that_is_not_there_is_reported(host: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", given(host, servers.free_port()))
    began = time.monotonic()
    with pytest.raises(DetailsError) as caught:
        managed("redis").__enter__()
    assert time.monotonic() - began < 2
    assert f"no server answers at {host}:" in str(caught.value)
    assert problem in str(caught.value)


def test_a_server_that_starts_later_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    port = servers.free_port()
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", given("127.0.0.1", port))
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "1m")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def start() -> None:
            listener.bind(("127.0.0.1", port))
            listener.listen()
            listener.accept()[0].close()

        later = threading.Timer(0.5, start)
        later.start()
        with managed("redis") as redis:
            assert redis.port == port
        later.join()


def test_the_wait_ends_and_zero_does_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", given("127.0.0.1", servers.free_port()))
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0.3s")
    with pytest.raises(DetailsError, match="Connection refused"):
        managed("redis").__enter__()
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0")
    with managed("redis"):
        pass
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "a while")
    with pytest.raises(DetailsError, match="SERVICECTX_EXTERNAL_WAIT: 'a while' is not a number of seconds"):
        managed("redis").__enter__()


def test_a_cancelled_wait_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", given("127.0.0.1", servers.free_port()))
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "1h")

    async def enter() -> None:
        async with asyncio.timeout(0.3), managed("redis"):
            pytest.fail("it was entered")

    with pytest.raises(TimeoutError):
        asyncio.run(enter())


def test_several_wait_side_by_side(silent: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("A", "B", "C"):
        monkeypatch.setenv(f"SERVICECTX_{name}_DETAILS", given(*silent))
    began = time.monotonic()
    with pytest.raises(DetailsError):
        managed_all(a="redis", b="redis", c="redis").__enter__()
    assert time.monotonic() - began < 2.5
