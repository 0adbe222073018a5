"""The prefetcher without a server: numbers and sources of ready names, and the handling of returned ones."""

import os
import threading
from collections.abc import Iterator

import pytest

from servicectx.isolation import pool_sizer, prefetcher, user_watcher
from servicectx.isolation.pool import BASE, MISSED, RETURNED, SERVED, Pool
from servicectx.isolation.pool_sizer import PoolSizer
from servicectx.isolation.prefetcher import Prefetcher
from tests.detector import wait_for


def test_demand_grows_with_users_and_when_it_was_not_enough_and_is_bounded() -> None:
    demand = PoolSizer(0)
    demand.ask(served=False, users=1)
    assert demand.target == pool_sizer.FIRST
    demand.ask(served=False, users=1)
    assert demand.target == pool_sizer.FIRST, "the pool was never filled"
    demand.filled = True
    demand.ask(served=False, users=1)
    assert demand.target == 2 * pool_sizer.FIRST
    demand.ask(served=True, users=7)
    assert demand.target == 7
    for _ in range(20):
        demand.filled = True
        demand.ask(served=False, users=100)
    assert demand.target == pool_sizer.MOST


class Names:
    """A service that makes and drops names, in this process."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.made = 0
        self.refuses = False
        self.refused = False
        self.busy = 0
        self.bytes = 0
        self.stuck = ""
        self.recycles = False

    def begin(self) -> None:
        if self.busy:
            self.busy -= 1
            raise ValueError("too many clients")
        self.there.clear()

    def size(self, source: str) -> int:
        return self.bytes

    def recycle(self, name: str, new: str, source: str) -> bool:
        if name not in self.there or not self.recycles:
            return False
        self.there.remove(name)
        self.there.add(new)
        return True

    def create(self, name: str, source: str) -> None:
        if self.refuses:
            self.refused = True
            raise ValueError("refused")
        self.there.add(name)
        self.made += 1

    def drop(self, name: str) -> None:
        if name == self.stuck:
            raise ValueError("the name is in use")
        self.there.discard(name)

    def disconnect(self) -> None:
        pass

    def new_name(self) -> str:
        return f"sc_{os.urandom(6).hex()}"


def hurry(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    for constant, value in seconds.items():
        for module in (prefetcher, pool_sizer, user_watcher):
            if hasattr(module, constant):
                monkeypatch.setattr(module, constant, value)


@pytest.fixture
def working(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Names, threading.Thread]]:
    hurry(monkeypatch, IDLE=0.1, REST=0.1, AGAIN=0.1)
    backend = Names()
    thread = threading.Thread(target=Prefetcher(pool, backend, str(pool.directory), os.getppid()).serve, daemon=True)
    listening = pool.open_events()
    pool.send_event(MISSED + BASE)
    thread.start()
    yield backend, thread
    thread.join(10)
    os.close(listening)
    assert not thread.is_alive()


def test_without_demand_nothing_stays(pool: Pool, working: tuple[Names, threading.Thread]) -> None:
    backend, thread = working
    wait_for(lambda: backend.made >= pool_sizer.FIRST, 5)
    thread.join(10)
    assert not thread.is_alive(), "the prefetcher ends after a time without demand"
    assert backend.there == set()
    assert pool.is_empty()


def test_what_is_held_is_waited_for(pool: Pool, working: tuple[Names, threading.Thread]) -> None:
    backend, thread = working
    wait_for(lambda: pool.count(BASE), 5)
    held = pool.claim(BASE)
    assert held is not None
    wait_for(lambda: backend.there == {held.name}, 5, lambda: f"{backend.there}")
    thread.join(0.5)
    assert thread.is_alive()
    held.release()
    pool.send_event(RETURNED)
    thread.join(10)
    assert backend.there == set()


def test_refusals_are_no_end(
    pool: Pool, working: tuple[Names, threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, _ = working
    hurry(monkeypatch, IDLE=1.0)
    backend.refuses = True
    pool.send_event(MISSED + "servicectx_other")
    wait_for(lambda: backend.refused, 5)
    backend.refuses = False
    wait_for(lambda: pool.count("servicectx_other"), 5)


def test_a_full_file_system_is_left_alone(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetcher, "ROOM", 2**80)
    hurry(monkeypatch, IDLE=0.05, REST=0.05, AGAIN=0.05)
    backend = Names()
    listening = pool.open_events()
    pool.send_event(MISSED + BASE)
    Prefetcher(pool, backend, str(pool.directory), os.getppid()).serve()
    assert backend.made == 0
    os.close(listening)


def test_who_is_not_let_in_at_first_tries_again(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, IDLE=1.0, REST=0.05, AGAIN=0.05)
    backend = Names()
    backend.busy = 5
    listening = pool.open_events()
    pool.send_event(MISSED + BASE)
    Prefetcher(pool, backend, str(pool.directory), os.getppid()).serve()
    assert backend.busy == 0
    assert backend.made >= pool_sizer.FIRST
    os.close(listening)


def test_a_copy_that_would_take_the_room_of_users_is_not_made(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, IDLE=0.05, REST=0.05, AGAIN=0.05)
    backend = Names()
    backend.bytes = 2**80
    listening = pool.open_events()
    pool.send_event(MISSED + BASE)
    Prefetcher(pool, backend, str(pool.directory), os.getppid()).serve()
    assert backend.made == 0
    os.close(listening)


@pytest.mark.parametrize("recycles", [True, False])
def test_what_is_given_back_is_made_anew_while_demand_lasts(
    pool: Pool, working: tuple[Names, threading.Thread], monkeypatch: pytest.MonkeyPatch, recycles: bool
) -> None:
    backend, _ = working
    hurry(monkeypatch, IDLE=1.0)
    backend.recycles = recycles
    pool.send_event(MISSED + BASE)
    wait_for(lambda: pool.count(BASE) >= pool_sizer.FIRST, 5)
    seen = set()
    for _ in range(10):
        taken = pool.claim(BASE)
        assert taken is not None
        assert taken.name not in seen, "each name is used once"
        seen.add(taken.name)
        taken.release()
        pool.send_event(SERVED + BASE)
        wait_for(lambda: not pool.taken_names() and pool.count(BASE) >= pool_sizer.FIRST, 5)
        assert pool.count(BASE) == len(backend.there)
    assert (backend.made < len(seen)) == recycles


def test_one_that_cannot_be_dropped_is_in_nobody_s_way(
    pool: Pool, working: tuple[Names, threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, _ = working
    wait_for(lambda: backend.made, 5)  # names from before its start are gone
    given_back = []
    for number in range(5):
        taken = pool.begin(f"sc_{number}", "")
        assert taken is not None
        backend.there.add(taken.name)
        given_back.append(taken)
    backend.stuck = "sc_2"
    for taken in given_back:
        taken.release()
    pool.send_event(RETURNED)
    wait_for(lambda: {name for name in backend.there if len(name) == 4} == {"sc_2"}, 5, lambda: f"{backend.there}")
    backend.stuck = ""
    wait_for(lambda: "sc_2" not in backend.there, 5)
