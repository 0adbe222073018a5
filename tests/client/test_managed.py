"""The context manager: with and async with, repeated and nested, in threads and loops, and with errors inside."""

import asyncio
import contextvars
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from servicectx import Managed, ServiceDied, SetupFailed, StartFailed, StartTimeout, managed, managed_all
from servicectx.testing import FakeDetails, FakeService
from tests import leftovers, servers
from tests.detector import wait_for


def nothing_is_left(home: Path, within: float = 0.0) -> bool:
    return leftovers.wait_for_none(home, within) == []


# -- with --------------------------------------------------------------------------------------------------------


def test_it_gives_details_of_a_usable_service_and_leaves_nothing(home: Path) -> None:
    with managed(FakeService) as fake:
        assert fake.ask("SET a 1") == "1"
        assert (fake.service, fake.name, fake.external) == ("fake", "fake", False)
    assert servers.listeners(fake.port) == []
    assert nothing_is_left(home)


def test_it_says_how_it_stands() -> None:
    lease = managed(FakeService, name="orders", scope="user")
    assert repr(lease) == "<managed fake 'orders', scope 'user', not entered>"
    assert lease.details is None
    assert not lease.alive
    assert not lease.joined
    assert lease.log_path is None
    with lease as fake:
        assert repr(lease) == "<managed fake 'orders', scope 'user', entered>"
        assert lease.details == fake
        assert lease.alive
        assert lease.failure is None
        assert not lease.joined
        assert not lease.external
        assert 0 < lease.took < 60
        assert lease.log_path is not None
        assert "fake service, process" in Path(lease.log_path).read_text()
    assert not lease.alive
    assert not Path(lease.log_path).exists()
    assert fake.password not in repr(lease)


def test_it_works_again_after_it_was_left() -> None:
    lease = managed(FakeService)
    with lease as first:
        first.ask("SET a 1")
    with lease as second:
        assert second.ask("GET a") == ""
        assert second.password != first.password


def test_it_works_again_after_it_failed(tmp_path: Path) -> None:
    file = tmp_path / "set-up"
    file.write_text("SET a 1\n")
    lease = managed(FakeService, setup=file, timeout=20)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        lease.__enter__()
    file.write_text("SET a 2\n")
    with lease as fake:
        assert fake.ask("GET a") == "2"


@pytest.mark.parametrize("problem", [LookupError, KeyboardInterrupt])
def test_one_that_failed_to_start_is_none_that_runs(problem: type[BaseException], home: Path) -> None:
    def fill(_: FakeDetails) -> None:
        raise problem

    lease = managed(FakeService, setup=fill)
    with pytest.raises((SetupFailed, KeyboardInterrupt)), lease:
        pass
    assert (lease.log_path, lease.ticket, lease.failure) == (None, None, None)
    assert not lease.alive
    assert not lease.joined
    assert nothing_is_left(home)


def test_entering_while_entered_is_an_error() -> None:
    lease = managed(FakeService)
    with lease as fake:
        with pytest.raises(RuntimeError, match="entered already"), lease:
            pass
        assert fake.ask("SET a 1") == "1"


def test_leaving_twice_is_leaving_once() -> None:
    other = managed(FakeService)
    lease = managed(FakeService)
    with other as fake:
        lease.__enter__()
        lease.__exit__(None, None, None)
        lease.__exit__(None, None, None)
        assert fake.ask("SET a 1") == "1"


def test_nested_blocks_share_one_instance(home: Path) -> None:
    first, second = managed(FakeService), managed(FakeService)
    with first as outer:
        with second as inner:
            assert inner == outer
            assert (first.joined, second.joined) == (False, True)
            assert (outer.is_manager, inner.is_manager) == (True, False)
        assert outer.ask("SET a 1") == "1"
        with managed(FakeService) as again:
            assert again.ask("GET a") == "1"
    assert nothing_is_left(home)


def test_blocks_may_end_in_any_order() -> None:
    first, second = managed(FakeService), managed(FakeService)
    first.__enter__()
    fake = second.__enter__()
    first.__exit__(None, None, None)
    assert fake.ask("SET a 1") == "1"
    second.__exit__(None, None, None)
    assert servers.listeners(fake.port) == []


def test_the_details_outlive_the_block() -> None:
    with managed(FakeService) as fake:
        copy = pickle.loads(pickle.dumps(fake))
        assert copy.ask("SET a 1") == "1"
    assert copy == fake


def test_threads_share_one_instance(home: Path) -> None:
    barrier = threading.Barrier(8)

    def use(number: int) -> tuple[int, str]:
        barrier.wait()
        with managed(FakeService) as fake:
            barrier.wait()
            fake.ask(f"SET {number} here")
            barrier.wait()
            assert [fake.ask(f"GET {other}") for other in range(8)] == ["here"] * 8
            barrier.wait()
            return fake.port, fake.password

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(use, range(8)))) == 1
    assert nothing_is_left(home)


def test_a_forked_child_does_not_leave_for_its_parent() -> None:
    script = """
import os, sys
from servicectx import managed
from servicectx.testing import FakeService
lease = managed(FakeService)
with lease as fake:
    if os.fork() == 0:
        assert fake.ask("SET a child") == "child"
        lease.__exit__(None, None, None)
        sys.exit(0)
    assert os.wait()[1] == 0
    print(fake.ask("GET a"), lease.alive)
"""
    result = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("child True\n", "")


def test_a_forked_child_may_join_by_itself() -> None:
    script = """
import os, sys
from servicectx import managed
from servicectx.testing import FakeService
with managed(FakeService) as fake:
    fake.ask("SET a parent")
    if os.fork() == 0:
        with managed(FakeService) as joined:
            sys.exit(joined.ask("GET a") != "parent")
    print(os.wait()[1], fake.ask("GET a"))
"""
    result = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("0 parent\n", "")


def test_one_that_was_never_left_warns_and_is_left(home: Path) -> None:
    held = [managed(FakeService)]
    held[0].__enter__()
    with pytest.warns(ResourceWarning, match="<managed fake 'fake', .*> was never left; use it in a with statement"):
        held.clear()
    assert nothing_is_left(home)


def test_the_end_of_the_interpreter_leaves(home: Path) -> None:
    script = (
        "from servicectx import managed\nfrom servicectx.testing import FakeService\nmanaged(FakeService).__enter__()"
    )
    result = subprocess.run([sys.executable, "-W", "always", "-c", script], capture_output=True, text=True, check=True)
    assert "ResourceWarning" in result.stderr
    assert nothing_is_left(home)
    kept = script.replace("managed(FakeService)", "lease = managed(FakeService); lease")
    result = subprocess.run([sys.executable, "-W", "always", "-c", kept], capture_output=True, text=True, check=True)
    assert "ResourceWarning" in result.stderr
    assert nothing_is_left(home)


def test_ctrl_c_during_a_start_leaves_nothing(home: Path) -> None:
    script = """
from servicectx import managed
from servicectx.testing import FakeService
try:
    managed(FakeService, never_listen=True).__enter__()
except KeyboardInterrupt:
    print("interrupted")
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as program:
        wait_for(lambda: any("fake.json" in line for line in leftovers.command_lines(home)), 20)
        program.send_signal(signal.SIGINT)
        assert program.communicate(timeout=20)[0] == "interrupted\n"
    assert nothing_is_left(home)


def test_the_death_of_the_service_can_be_learnt() -> None:
    lease = managed(FakeService)
    with lease as fake:
        fake.ask("SAY last words")
        fake.ask("EXIT 5")
        wait_for(lambda: not lease.alive, 5)
        wait_for(lambda: isinstance(lease.failure, ServiceDied) and lease.failure.exit_status == 5, 5)
        assert "last words" in str(lease.failure)
        with managed(FakeService) as fresh:
            assert fresh.ask("GET a") == ""


# -- waiting for another start -----------------------------------------------------------------------------------


def test_who_waits_too_long_learns_for_whom(home: Path) -> None:
    script = """
from servicectx import managed
from servicectx.testing import FakeService
with managed(FakeService, delay=3.0):
    pass
"""
    with subprocess.Popen([sys.executable, "-c", script, "some", "words"]) as requester:
        wait_for(lambda: any("fake.json" in line for line in leftovers.command_lines(home)), 20)
        with pytest.raises(StartTimeout) as caught, managed(FakeService, delay=3.0, timeout=0.4):
            pass
        reason = caught.value.waiting_for
        found = re.search(r"process (\d+) \((.*)\) has held the lock for (\d+\.\d) s", reason)
        assert found is not None, reason
        assert (int(found[1]), found[2]) == (requester.pid, "python -c from servicectx import managed some words")
        assert 0.4 <= float(found[3]) < 60
        assert "within 0.4 s" in str(caught.value)
        assert requester.wait(30) == 0


# -- details from outside ----------------------------------------------------------------------------------------


def test_a_server_that_runs_elsewhere_is_used_and_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with managed(FakeService, scope="elsewhere") as real:
        monkeypatch.setenv("SERVICECTX_FAKE_DETAILS", real.model_dump_json())
        lease = managed(FakeService)
        with lease as fake:
            assert fake.external
            assert fake.ask("SET a 1") == "1"
            assert lease.alive
            assert lease.failure is None
        assert real.ask("GET a") == "1"
    assert not lease.alive
    assert nothing_is_left(home)


# -- exceptions --------------------------------------------------------------------------------------------------


class BodyFailed(Exception):
    pass


class FailsOnLeave(Managed[Any]):
    """A context manager that leaves, then raises an error."""

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        raise OSError(f"stumbled over {self._request.name}")


def fails_on_leave(**arguments: Any) -> FailsOnLeave:
    return FailsOnLeave(managed(FakeService, **arguments)._request)


@pytest.mark.parametrize("error", [BodyFailed, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_in_the_body_goes_through(error: type[BaseException], home: Path) -> None:
    with pytest.raises(error) as caught, managed(FakeService):
        raise error("in the body")
    assert caught.value.__context__ is None
    assert nothing_is_left(home)


def test_an_exception_in_the_set_up_is_the_cause(home: Path) -> None:
    def set_up(_: FakeDetails) -> None:
        raise BodyFailed("in the set-up")

    with pytest.raises(Exception, match="BodyFailed: in the set-up") as caught, managed(FakeService, setup=set_up):
        pass
    assert isinstance(caught.value.__cause__, BodyFailed)
    assert nothing_is_left(home, within=2.0)


def test_an_exception_while_leaving_shows_the_body_s_too(home: Path) -> None:
    with pytest.raises(OSError, match="stumbled over fake") as caught, fails_on_leave():
        raise BodyFailed
    assert isinstance(caught.value.__context__, BodyFailed)
    assert nothing_is_left(home)


# -- managed_all -------------------------------------------------------------------------------------------------


def test_all_in_order(home: Path) -> None:
    with managed_all(FakeService, managed(FakeService, name="second"), "redis") as (first, second, redis):
        assert [details.name for details in (first, second, redis)] == ["fake", "second", "redis"]
        assert first.ask("SET a 1") == "1"
        assert second.ask("GET a") == ""
    assert nothing_is_left(home)


def test_all_by_name(home: Path) -> None:
    with managed_all(db=FakeService, cache="redis", own=managed(FakeService, name="mine")) as services:
        assert (services.db.name, services.cache.name, services.own.name) == ("db", "cache", "mine")
    assert nothing_is_left(home)


def test_none_at_all() -> None:
    with managed_all() as nothing:
        assert nothing == ()

    async def enter() -> Any:
        async with managed_all() as nothing:
            return nothing

    assert asyncio.run(enter()) == ()


def test_all_start_side_by_side() -> None:
    several = [managed(FakeService, name=f"n{number}", delay=1.0) for number in range(4)]
    began = time.monotonic()
    with managed_all(*several):
        took = time.monotonic() - began
    assert took < sum(service.took for service in several)


def test_one_failure_leaves_the_others(home: Path) -> None:
    several = [managed(FakeService, name="good"), managed(FakeService, name="bad", fail=3)]
    with pytest.raises(StartFailed, match="fake 'bad' did not start"), managed_all(*several):
        pass
    assert nothing_is_left(home, within=2.0)
    with several[0] as fake:
        assert fake.ask("GET a") == ""


def test_no_failure_hides_another(home: Path) -> None:
    with pytest.raises(StartFailed, match="'one'") as caught, managed_all(one=FAILING_1, two=FAILING_2, three="redis"):
        pass
    assert ["'two' did not start" in note for note in caught.value.__notes__] == [True]
    assert nothing_is_left(home, within=2.0)

    async def enter() -> None:
        async with managed_all(one=FAILING_1, two=FAILING_2, three="redis"):
            pass

    with pytest.raises(StartFailed, match="'one'") as caught:
        asyncio.run(enter())
    assert ["'two' did not start" in note for note in caught.value.__notes__] == [True]
    assert nothing_is_left(home, within=2.0)


FAILING_1 = managed(FakeService, name="one", fail=1)
FAILING_2 = managed(FakeService, name="two", fail=2)


def test_failures_while_leaving_come_together(home: Path) -> None:
    with (
        pytest.raises(ExceptionGroup) as caught,
        managed_all(fails_on_leave(name="a"), FakeService, fails_on_leave(name="b")),
    ):
        raise BodyFailed
    assert {str(error) for error in caught.value.exceptions} == {"stumbled over a", "stumbled over b"}
    assert isinstance(caught.value.__context__, BodyFailed)
    assert nothing_is_left(home, within=2.0)
    with pytest.raises(OSError, match="stumbled over a"), managed_all(fails_on_leave(name="a"), FakeService):
        pass


def test_a_failure_while_leaving_after_a_failed_start_shows_both(home: Path) -> None:
    with pytest.raises(StartFailed) as caught, managed_all(fails_on_leave(name="a"), FAILING_1):
        pass
    assert isinstance(caught.value.__context__, OSError)
    assert nothing_is_left(home, within=2.0)


def test_ctrl_c_while_several_start_leaves_nothing(home: Path) -> None:
    script = """
from servicectx import managed, managed_all
from servicectx.testing import FakeService
quick, slow = managed(FakeService, name="quick"), managed(FakeService, name="slow", never_listen=True)
try:
    managed_all(quick, slow).__enter__()
except KeyboardInterrupt:
    print("interrupted", quick.alive)
    with quick as fake:
        print(fake.ask("SET a 1"))
"""
    with subprocess.Popen([sys.executable, "-W", "error", "-c", script], stdout=subprocess.PIPE, text=True) as program:
        wait_for(lambda: sum("fake.json" in line for line in leftovers.command_lines(home)) == 2, 20)
        time.sleep(0.3)
        program.send_signal(signal.SIGINT)
        assert program.communicate(timeout=20)[0] == "interrupted False\n1\n"
    assert nothing_is_left(home)


# -- async with --------------------------------------------------------------------------------------------------


def test_async_with_gives_the_same(home: Path) -> None:
    async def use() -> FakeDetails:
        async with managed(FakeService) as fake:
            assert await asyncio.to_thread(fake.ask, "SET a 1") == "1"
            with managed(FakeService) as joined:
                assert joined == fake
            return fake

    fake = asyncio.run(use(), debug=True)
    assert servers.listeners(fake.port) == []
    assert nothing_is_left(home)


def test_the_loop_goes_on_while_a_service_starts_and_stops() -> None:
    async def use() -> list[float]:
        beats: list[float] = []

        async def beat() -> None:
            while True:
                beats.append(time.monotonic())
                await asyncio.sleep(0.01)

        beating = asyncio.create_task(beat())
        async with managed(FakeService, delay=0.5):
            pass
        beating.cancel()
        return beats

    beats = asyncio.run(use())
    assert len(beats) > 20


def test_tasks_of_one_loop_share_one_instance(home: Path) -> None:
    async def use(barrier: asyncio.Barrier) -> int:
        async with managed(FakeService) as fake:
            await barrier.wait()
            return fake.port

    async def several() -> list[int]:
        barrier = asyncio.Barrier(5)
        return await asyncio.gather(*(use(barrier) for _ in range(5)))

    assert len(set(asyncio.run(several()))) == 1
    assert nothing_is_left(home)


def test_two_loops_share_one_instance(home: Path) -> None:
    barrier = threading.Barrier(2)

    async def use() -> tuple[int, str]:
        async with managed(FakeService) as fake:
            await asyncio.to_thread(barrier.wait)
            return fake.port, fake.password

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(lambda _: asyncio.run(use()), range(2)))) == 1
    assert nothing_is_left(home)


def test_one_object_serves_one_loop_after_another() -> None:
    lease = managed(FakeService)

    async def use() -> int:
        async with lease as fake:
            return fake.port

    assert asyncio.run(use())
    assert asyncio.run(use())
    with lease as fake:
        assert fake.port


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.1, 0.4])
def test_cancelling_a_start_leaves_nothing(pause: float, home: Path) -> None:
    lease = managed(FakeService, delay=0.5)

    async def enter() -> None:
        async with lease:
            raise AssertionError("it cannot be ready yet")

    async def cancel() -> None:
        task = asyncio.create_task(enter())
        await asyncio.sleep(pause)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert nothing_is_left(home, within=2.0)

    asyncio.run(cancel())
    with lease as fake:
        assert fake.ask("SET a 1") == "1"


def test_cancelling_again_and_again_leaves_nothing(home: Path) -> None:
    async def enter() -> None:
        async with managed(FakeService, never_listen=True):
            raise AssertionError("it is never ready")

    async def cancel() -> None:
        task = asyncio.create_task(enter())
        await asyncio.sleep(0.2)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0.01)
        assert task.cancelled()

    asyncio.run(cancel())
    assert nothing_is_left(home, within=2.0)


def test_a_time_limit_of_the_loop_s_leaves_nothing(home: Path) -> None:
    async def enter() -> None:
        async with asyncio.timeout(0.3), managed(FakeService, never_listen=True):
            raise AssertionError("it is never ready")

    with pytest.raises(TimeoutError):
        asyncio.run(enter())
    assert nothing_is_left(home, within=2.0)


def test_a_cancelled_body_leaves(home: Path) -> None:
    async def use(entered: asyncio.Event) -> None:
        async with managed(FakeService):
            entered.set()
            await asyncio.sleep(60)

    async def cancel() -> None:
        entered = asyncio.Event()
        task = asyncio.create_task(use(entered))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert nothing_is_left(home, within=2.0)

    asyncio.run(cancel())


def test_a_loop_that_ends_during_a_start_leaves_nothing(home: Path) -> None:
    async def enter() -> None:
        async with managed(FakeService, delay=0.3):
            await asyncio.sleep(60)

    async def main() -> None:
        main.task = asyncio.create_task(enter())  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)

    asyncio.run(main())
    assert nothing_is_left(home, within=2.0)


def test_a_waiting_joiner_can_be_cancelled() -> None:
    async def enter(entered: asyncio.Event) -> str:
        async with managed(FakeService, delay=1.0) as fake:
            entered.set()
            await asyncio.sleep(0.3)
            return await asyncio.to_thread(fake.ask, "SET a 1")

    async def cancel() -> str:
        entered = asyncio.Event()
        requester = asyncio.create_task(enter(entered))
        await asyncio.sleep(0.2)
        joiner = asyncio.create_task(enter(asyncio.Event()))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        joiner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joiner
        assert not entered.is_set() or time.monotonic() - began < 5
        return await requester

    assert asyncio.run(cancel()) == "1"


def test_cancelling_several_leaves_those_that_were_entered(home: Path) -> None:
    async def enter() -> None:
        async with managed_all(FakeService, managed(FakeService, name="slow", never_listen=True)):
            raise AssertionError("it is never ready")

    async def cancel() -> None:
        task = asyncio.create_task(enter())
        while sum("fake.json" in line for line in leftovers.command_lines(home)) < 2:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert nothing_is_left(home, within=2.0)

    asyncio.run(cancel())


def test_a_failure_of_an_async_start_is_the_same() -> None:
    async def enter() -> None:
        async with managed(FakeService, fail=4):
            pass

    with pytest.raises(StartFailed) as caught:
        asyncio.run(enter())
    assert caught.value.exit_status == 4


CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("CALLER", default="nobody")


def test_a_set_up_sees_the_caller_s_context() -> None:
    def set_up(fake: FakeDetails) -> None:
        fake.ask(f"SET caller {CALLER.get()}")

    async def use() -> str:
        CALLER.set("somebody")
        async with managed(FakeService, setup=set_up) as fake:
            return fake.ask("GET caller")

    assert asyncio.run(use()) == "somebody"


def test_a_process_that_closed_its_standard_files_can_start_one(home: Path) -> None:
    script = """
import os
for number in range(3):
    os.close(number)
from servicectx import managed
from servicectx.testing import FakeService
with managed(FakeService) as fake:
    os._exit(7 if fake.ask("SET a 1") == "1" else 1)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 7
    assert leftovers.wait_for_none(home, 5) == []


def test_no_file_of_the_caller_s_is_inherited(home: Path) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        with managed(FakeService):
            os.close(writing)
            writing = -1
            assert os.read(reading, 1) == b""  # no other process holds the other end
    finally:
        os.close(reading)
        assert writing == -1
