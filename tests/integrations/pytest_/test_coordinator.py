"""The protocol between the processes of a run, without pytest around it."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from servicectx_pytest._coordinator import Coordinator
from servicectx_pytest._coordinator_client import CoordinatorClient, RunIsOver

from servicectx import managed

FAILURE = {"error": "StartFailed", "data": {}}
USE = {"label": "redis", "how": "started", "took": 0.1, "by": "gw0", "error": ""}


@pytest.fixture
def run() -> Iterator[Coordinator]:
    run = Coordinator()
    run.listen()
    yield run
    run.close()


def client(run: Coordinator, lost: threading.Event | None = None) -> CoordinatorClient:
    return CoordinatorClient(run.address, (lost or threading.Event()).set)


def in_thread(function: Any, *arguments: Any) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)))
    thread.start()
    return thread, results


def test_who_asks_later_hears_of_the_failure(run: Coordinator) -> None:
    first, second = client(run), client(run)
    assert first.begin("key", 5) is None
    waiting, results = in_thread(second.begin, "key", 30)
    waiting.join(0.2)
    assert waiting.is_alive(), "the first worker still starts it"
    first.end("key", USE, FAILURE, None)
    waiting.join(5)
    assert results == [FAILURE]
    assert second.begin("key", 5) == FAILURE
    assert second.begin("another key", 5) is None
    first.close()
    second.close()
    assert run.uses == [USE]


def test_who_dies_while_it_starts_something_makes_room_for_the_next(run: Coordinator) -> None:
    first, second = client(run), client(run)
    assert first.begin("key", 5) is None
    waiting, results = in_thread(second.begin, "key", 30)
    first.close()
    waiting.join(5)
    assert results == [None]
    second.close()


def test_nobody_waits_for_ever(run: Coordinator) -> None:
    first, second = client(run), client(run)
    assert first.begin("key", 5) is None
    assert second.begin("key", 0.05) is None
    first.close()
    second.close()


def test_many_go_on_at_once_after_a_success(run: Coordinator) -> None:
    first, second = client(run), client(run)
    first.begin("key", 5)
    first.end("key", USE, None, None)
    assert first.begin("key", 5) is None
    assert second.begin("key", 30) is None
    first.close()
    second.close()


def test_the_run_holds_what_a_worker_has_left(run: Coordinator) -> None:
    worker = client(run)
    service = managed("redis")
    with service:
        worker.end(str(service.key), USE, None, service.ticket)
        worker.end(str(service.key), USE, None, service.ticket)
    worker.close()
    assert service.alive
    run.close()
    assert not service.alive
    run.close()


def test_a_worker_notices_the_end_of_the_run(run: Coordinator) -> None:
    lost = threading.Event()
    worker = client(run, lost)
    run.close()
    assert lost.wait(5)
    with pytest.raises(RunIsOver):
        worker.begin("key", 5)
    with pytest.raises(RunIsOver):
        worker.end("key", None, None, None)
    worker.close()
    with pytest.raises(OSError, match="refused"):
        client(run)


def test_a_worker_that_hangs_up_itself_is_not_alarmed(run: Coordinator) -> None:
    lost = threading.Event()
    worker = client(run, lost)
    assert worker.begin("key", 5) is None
    worker.close()
    run.close()
    assert not lost.wait(0.2)


def test_strangers_are_not_heard(run: Coordinator) -> None:
    port = int(run.address.split(":")[0])
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b'a guess\n["end", "key", {}, null, null]\n')
        assert stranger.recv(100) == b""
    assert run.uses == []
