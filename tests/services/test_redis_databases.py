"""Ownership of logical databases on a real Redis, despite all actions of other users and of the server."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis as client

from servicectx import NotIsolable, RedisDetails, isolated, managed
from servicectx.services import registry
from servicectx.services.redis import ownership
from tests.detector import wait_for

ROOT = Path(__file__).parents[2]
SMALL = 8  # logical databases of an external server: 6 can be taken


def connect(details: RedisDetails, db: int | None = None) -> client.Redis:
    at = details if db is None else details.model_copy(update={"db": db})
    return client.Redis.from_url(at.url, decode_responses=True)


def take_all(stack: ExitStack, details: RedisDetails) -> list[int]:
    """Take all free databases."""
    taken = []
    with contextlib.suppress(NotIsolable):
        while True:
            taken.append(stack.enter_context(isolated(details)).db)
    return taken


@contextlib.contextmanager
def server(*lines: str) -> Iterator[RedisDetails]:
    """An external Redis."""
    redis = registry.find("redis")
    program = redis.program(redis.options({}))
    command = [program, "--bind", "{host}", "--port", "{port}", "--dir", "{dir}", "--save", "", *lines]
    with managed("command", command=command) as process:
        yield RedisDetails(service="redis", name="redis", host=process.host, port=process.port, external=True)


@pytest.fixture
def outside() -> Iterator[RedisDetails]:
    with server("--databases", str(SMALL)) as details:
        yield details


USER = """
import contextlib, json, os, signal, sys
import redis
from servicectx import RedisDetails, isolated
details = RedisDetails.parse(sys.stdin.readline())
held = contextlib.ExitStack()
for line in sys.stdin:
    command, number = line.split()
    numbers = []
    if command == "take":
        for _ in range(int(number)):
            mine = held.enter_context(isolated(details))
            with redis.Redis.from_url(mine.url) as client:
                assert client.dbsize() == 0
                client.set("owner", os.getpid())
            numbers.append(mine.db)
    if command == "keep":
        with isolated(details, keep=True) as mine, redis.Redis.from_url(mine.url) as client:
            client.set("owner", "kept")
            numbers.append(mine.db)
    if command == "leave":
        held.close()
    if command == "fork":
        if os.fork():
            continue
        held.close()
        numbers += [os.getpid(), isolated(details).__enter__().db]
    print(json.dumps(numbers), flush=True)
    if command == "fork":
        signal.pause()
"""


class User:
    """A process that takes databases on command, and writes its process id into each."""

    def __init__(self, details: RedisDetails, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | environment,
        )
        self._write(details.model_dump_json())

    def __enter__(self) -> "User":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)

    def ask(self, command: str, number: int = 1) -> list[int]:
        self._write(f"{command} {number}")
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        assert answer, "the user died"
        numbers: list[int] = json.loads(answer)
        return numbers

    def kill(self) -> None:
        self.process.kill()
        assert self.process.wait(30) == -signal.SIGKILL

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


def listened_to(details: RedisDetails) -> int:
    """The number of databases with an owner, according to the server."""
    with connect(details, 0) as admin:
        return len(admin.pubsub_channels("servicectx:*"))


# -- many --------------------------------------------------------------------------------------------------------


def test_there_are_many_more_than_sixteen() -> None:
    with managed("redis") as redis:
        with ExitStack() as stack:
            taken = [stack.enter_context(isolated(redis)) for _ in range(100)]
            assert len({details.db for details in taken}) == 100
            assert redis.db not in {details.db for details in taken}
            for details in taken:
                with connect(details) as mine:
                    assert mine.dbsize() == 0
                    mine.set("number", details.db)
            for details in taken:
                with connect(details) as mine:
                    assert mine.get("number") == str(details.db)
            with connect(redis) as admin:
                assert len(admin.client_list(_type="pubsub")) == 1, "one connection is enough for a process"
        with connect(redis) as admin:
            assert admin.info("keyspace") == {}
            assert admin.client_list(_type="pubsub") == []


def test_many_tasks_take_one_each() -> None:
    async def work(redis: RedisDetails, all_are_there: asyncio.Barrier) -> int:
        async with isolated(redis) as mine:
            await all_are_there.wait()
            return mine.db

    async def crowd(redis: RedisDetails) -> list[int]:
        barrier = asyncio.Barrier(40)
        return await asyncio.gather(*(work(redis, barrier) for _ in range(40)))

    with managed("redis") as redis:
        assert len(set(asyncio.run(crowd(redis)))) == 40


# A process that takes and returns databases. It holds a file lock for each number meanwhile: a locked file proves that
# two processes have the same database. With "flush" it empties the whole server again and again.
COMES_AND_GOES = """
import contextlib, fcntl, sys
import redis
from servicectx import RedisDetails, isolated
details = RedisDetails.parse(sys.argv[1])
folder, rounds, at_once, flush = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "flush"
for round in range(rounds):
    with contextlib.ExitStack() as stack:
        for _ in range(at_once):
            mine = stack.enter_context(isolated(details))
            file = stack.enter_context(open(f"{folder}/{mine.db}", "w"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with redis.Redis.from_url(mine.url) as client:
                assert client.dbsize() == 0, "it is not empty"
                client.set("mine", "1")
                if flush:
                    client.flushall()
"""


@pytest.mark.parametrize("flush", ["flush", ""])
@pytest.mark.parametrize("scarce", [True, False], ids=["scarce", "plenty"])
def test_processes_take_and_give_back_at_once(flush: str, scarce: bool, tmp_path: Path) -> None:
    """On a scarce server all databases are often in use, but each process always gets its share."""
    processes, at_once = (3, 2) if scarce else (4, 6)
    assert not scarce or processes * at_once == SMALL - 2
    with server("--databases", str(SMALL)) if scarce else managed("redis") as redis:
        command = [
            sys.executable,
            "-c",
            COMES_AND_GOES,
            redis.model_dump_json(),
            str(tmp_path),
            "15" if scarce else "8",
            str(at_once),
        ]
        users = [
            subprocess.Popen([*command, flush], cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(processes)
        ]
        assert [user.communicate(timeout=60)[1] for user in users] == [""] * processes
        assert listened_to(redis) == 0
    assert len(list(tmp_path.iterdir())) == SMALL - 2 if scarce else len(list(tmp_path.iterdir())) > SMALL


def test_of_two_who_claim_the_same_one_never_both_have_it(outside: RedisDetails) -> None:
    one, two = ownership.DatabaseReferences(outside), ownership.DatabaseReferences(outside)
    with contextlib.closing(one), contextlib.closing(two), contextlib.closing(ownership.connect(outside)) as connection:
        one.renew()
        two.renew()
        assert one.claim(connection, 3)
        assert not two.claim(connection, 3)
        assert ownership.held(connection) == {3}
        one.release(3)
        assert two.claim(connection, 3)


def test_when_all_try_for_the_same_one_they_try_again(outside: RedisDetails, monkeypatch: pytest.MonkeyPatch) -> None:
    """A free database may be claimed a moment later, and be free again after that."""
    other = ownership.DatabaseReferences(outside)
    looks = 0

    def look(connection: Any) -> set[int]:
        nonlocal looks
        looks += 1
        if looks == 1:
            return set()
        other.release(5)
        return real(connection)

    real = ownership.held
    monkeypatch.setattr(ownership, "held", look)
    with contextlib.closing(other), contextlib.closing(ownership.connect(outside)) as connection:
        other.renew()
        for number in range(1, SMALL - 1):
            assert other.claim(connection, number)
        with isolated(outside) as mine:
            assert mine.db == 5
    assert looks == 2


def test_what_is_claimed_while_it_is_given_back_is_emptied_by_its_next_user(outside: RedisDetails) -> None:
    with connect(outside) as claiming, claiming.pubsub() as channels:
        with isolated(outside) as mine, connect(mine) as connection:
            connection.set("left", "behind")
            channels.subscribe(ownership.channel(mine.db))
            assert channels.get_message(timeout=5)
        with connect(mine) as connection:
            assert connection.get("left") == "behind", "another process may own it now"
    wait_for(lambda: listened_to(outside) == 0, 5)
    with isolated(outside) as again, connect(again) as connection:
        assert again.db == mine.db
        assert connection.dbsize() == 0


# -- FLUSHALL ----------------------------------------------------------------------------------------------------


def test_after_a_flushall_nobody_gets_what_another_one_has(outside: RedisDetails) -> None:
    with User(outside) as other, ExitStack() as stack:
        theirs = other.ask("take", 3)
        mine = stack.enter_context(isolated(outside))
        with connect(mine) as connection:
            connection.flushall()
        rest = take_all(stack, outside)
        assert sorted([*theirs, mine.db, *rest]) == list(range(1, SMALL - 1))


def test_a_flushall_of_hundreds() -> None:
    with managed("redis") as redis, User(redis) as other, ExitStack() as stack:
        mine = [stack.enter_context(isolated(redis)).db for _ in range(150)]
        with connect(redis) as admin:
            admin.flushall()
        theirs = other.ask("take", 150)
        assert len({*mine, *theirs}) == 300


def test_what_is_left_after_a_flushall_is_emptied_too(outside: RedisDetails) -> None:
    """The next take restores the register entries of the process."""
    with User(outside) as user:
        (first,) = user.ask("take")
        with connect(outside) as admin:
            admin.flushall()
        (second,) = user.ask("take")
        with connect(outside, first) as connection:
            connection.set("left", "behind")
        user.kill()
        wait_for(lambda: listened_to(outside) == 0, 5)
    with isolated(outside) as one, isolated(outside) as two:
        assert {one.db, two.db} == {first, second}
        for details in (one, two):
            with connect(details) as connection:
                assert connection.dbsize() == 0


# -- dead processes ----------------------------------------------------------------------------------------------


def test_what_a_killed_user_had_is_the_first_to_be_given_out_again_and_is_empty() -> None:
    with managed("redis") as redis:
        with User(redis) as user:
            theirs = user.ask("take", 2)
            user.kill()
        wait_for(lambda: listened_to(redis) == 0, 5)
        with isolated(redis) as one, isolated(redis) as two:
            assert {one.db, two.db} == set(theirs)
            for details in (one, two):
                with connect(details) as mine:
                    assert mine.dbsize() == 0


def test_a_stopped_user_keeps_what_it_has(outside: RedisDetails) -> None:
    with User(outside) as user, ExitStack() as stack:
        theirs = user.ask("take", 2)
        user.process.send_signal(signal.SIGSTOP)
        assert not set(theirs) & set(take_all(stack, outside))
        for db in theirs:
            with connect(outside, db) as connection:
                assert connection.get("owner") == str(user.process.pid)
        user.process.send_signal(signal.SIGCONT)


def test_users_are_killed_while_they_take_and_give_back(outside: RedisDetails, tmp_path: Path) -> None:
    command = [sys.executable, "-c", COMES_AND_GOES, outside.model_dump_json(), str(tmp_path), "1000", "1", ""]
    for _ in range(6):
        with subprocess.Popen(command, cwd=ROOT) as user:
            wait_for(lambda: len(list(tmp_path.iterdir())) > 1, 20)
            user.kill()
        for file in tmp_path.iterdir():
            file.unlink()
    wait_for(lambda: listened_to(outside) == 0, 5)
    with ExitStack() as stack:
        assert sorted(take_all(stack, outside)) == list(range(1, SMALL - 1))
        with connect(outside) as admin:
            assert set(admin.info("keyspace")) <= {f"db{SMALL - 1}"}, "all are empty"


def test_a_forked_child_has_its_own_and_neither_has_nor_gives_back_what_its_parent_has(outside: RedisDetails) -> None:
    with User(outside) as user, ExitStack() as stack:
        (theirs,) = user.ask("take")
        child, own = user.ask("fork")
        try:
            assert theirs != own
            assert {theirs, own}.isdisjoint(take_all(stack, outside))
            stack.close()
            user.kill()
            wait_for(lambda: listened_to(outside) == 1, 5)
            taken = take_all(stack, outside)
            assert theirs in taken
            assert own not in taken
        finally:
            os.kill(child, signal.SIGKILL)


# -- connections that are ended ----------------------------------------------------------------------------------


def end_connections(details: RedisDetails) -> None:
    with connect(details, 0) as admin:
        assert admin.client_kill_filter(_type="pubsub") > 0


def test_who_has_lost_its_connection_keeps_what_it_has(outside: RedisDetails) -> None:
    with User(outside) as user, ExitStack() as stack:
        theirs = user.ask("take", 2)
        end_connections(outside)
        assert listened_to(outside) == 0
        assert not set(theirs) & set(take_all(stack, outside))
        stack.close()
        theirs += user.ask("take")
        assert listened_to(outside) == 3, "it listens again, on its earlier databases too"
        user.ask("leave")
        assert listened_to(outside) == 0
        assert len(take_all(stack, outside)) == SMALL - 2


def test_what_somebody_else_has_meanwhile_is_not_emptied(outside: RedisDetails) -> None:
    """This needs a FLUSHALL and a lost connection at once."""
    with ExitStack() as stack:
        isolating = isolated(outside)
        mine = isolating.__enter__()
        end_connections(outside)
        with connect(outside) as admin:
            admin.flushall()
        with User(outside) as other:
            theirs = other.ask("take", SMALL - 2)
            assert mine.db in theirs
            isolating.__exit__()
            with connect(mine) as connection:
                assert connection.get("owner") == str(other.process.pid)
            with pytest.raises(NotIsolable):
                isolated(outside).__enter__()
            other.ask("leave")
        assert len(take_all(stack, outside)) == SMALL - 2


def test_an_idle_user_of_an_impatient_server_keeps_what_it_has() -> None:
    with server("--databases", str(SMALL), "--timeout", "1") as outside, User(outside) as user:
        theirs = user.ask("take", 2)
        with connect(outside) as idle:
            idle.ping()
            wait_for(lambda: len(idle_clients(outside)) == 0, 10)
        assert listened_to(outside) == len(theirs)


def idle_clients(details: RedisDetails) -> list[Any]:
    with connect(details) as admin:
        return [client for client in admin.client_list(_type="normal") if int(client["id"]) != admin.client_id()]


def test_a_message_on_its_channel_does_no_harm(outside: RedisDetails) -> None:
    with isolated(outside) as one, connect(outside) as admin:
        assert admin.publish(f"servicectx:database:{one.db}", "hello") == 1
        with isolated(outside) as two:
            assert one.db != two.db
    assert listened_to(outside) == 0


# -- no free database --------------------------------------------------------------------------------------------


def test_when_all_are_taken_the_error_says_what_to_do(outside: RedisDetails) -> None:
    with ExitStack() as stack, User(outside) as user:
        user.ask("keep")
        with connect(outside, user.ask("take")[0] % (SMALL - 2) + 1) as connection:
            connection.set("not", "ours")
        taken = take_all(stack, outside)
        reason = f"none of its 6 logical databases is free: {len(taken) + 1} are in use, 1 were kept, "
        with pytest.raises(NotIsolable, match=reason) as caught:
            isolated(outside).__enter__()
        assert "set `databases 1024` in its redis.conf" in caught.value.reason
        stack.close()
        assert sorted(take_all(stack, outside)) == sorted(taken)


def test_on_a_server_of_ours_the_error_names_another_cure(outside: RedisDetails) -> None:
    ours = outside.model_copy(update={"external": False})
    with ExitStack() as stack:
        take_all(stack, ours)
        with pytest.raises(NotIsolable, match=r'use a second server: managed\("redis", name=\.\.\.\)'):
            isolated(ours).__enter__()


@pytest.mark.parametrize("databases", [1, 2])
def test_a_server_without_databases_to_spare(databases: int) -> None:
    with (
        server("--databases", str(databases)) as outside,
        pytest.raises(NotIsolable, match="no further logical databases; set"),
    ):
        isolated(outside).__enter__()


# -- keep --------------------------------------------------------------------------------------------------------


def test_what_is_kept_is_nobody_s_and_stays(outside: RedisDetails) -> None:
    with User(outside) as user:
        (kept,) = user.ask("keep")
        user.kill()
    with ExitStack() as stack:
        assert sorted([kept, *take_all(stack, outside)]) == list(range(1, SMALL - 1))
    with connect(outside, kept) as connection:
        assert connection.get("owner") == "kept"


def test_a_flushall_ends_what_was_kept(outside: RedisDetails) -> None:
    with isolated(outside, keep=True) as kept:
        pass
    with connect(outside) as admin:
        admin.flushall()
    with ExitStack() as stack:
        assert kept.db in take_all(stack, outside)


# -- external servers --------------------------------------------------------------------------------------------


def test_data_of_others_are_left_alone(outside: RedisDetails) -> None:
    for db in (0, 2, 3):
        with connect(outside, db) as connection:
            connection.set("theirs", str(db))
    with ExitStack() as stack:
        assert sorted(take_all(stack, outside)) == [1, 4, 5, 6]
    for db in (0, 2, 3):
        with connect(outside, db) as connection:
            assert connection.get("theirs") == str(db)
    with connect(outside) as admin:
        assert set(admin.info("keyspace")) == {"db0", "db2", "db3"}, "no key of servicectx is left"


def test_details_from_a_file_and_another_home_are_the_same_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with managed("redis", name="theirs") as redis, ExitStack() as stack:
        monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", str(redis.write(tmp_path / "redis.json")))
        with managed("redis") as external, User(external, SERVICECTX_HOME=str(tmp_path / "home")) as user:
            assert external.external
            theirs = user.ask("take", 20)
            with connect(redis) as admin:
                admin.flushall()
            mine = [stack.enter_context(isolated(redis if n % 2 else external)).db for n in range(500)]
            assert len({*theirs, *mine}) == 520


def test_a_server_that_tells_no_settings_has_sixteen_as_most_have() -> None:
    with server("--rename-command", "CONFIG", "") as outside, ExitStack() as stack:
        assert sorted(take_all(stack, outside)) == list(range(1, 15))


def test_a_server_that_refuses_says_so() -> None:
    with (
        server("--rename-command", "SUBSCRIBE", "") as outside,
        pytest.raises(NotIsolable, match=r"unknown command 'SUBSCRIBE'.* its user needs"),
    ):
        isolated(outside).__enter__()


def test_threads_take_from_several_servers_at_once(outside: RedisDetails) -> None:
    taken: list[tuple[int, int]] = []
    together = threading.Barrier(8)

    def work(details: RedisDetails) -> None:
        with isolated(details) as mine:
            taken.append((mine.port, mine.db))
            together.wait(30)

    with managed("redis") as redis:
        threads = [threading.Thread(target=work, args=(details,)) for details in (redis, outside) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(taken)) == 8
