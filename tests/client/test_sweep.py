"""The sweep of a start: dead instances of other keys go, and live ones cost one look at a lock each."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicectx.client import cleanup
from servicectx.keeper import after_kill
from servicectx.state import container, marked, origin, presence
from servicectx.state.instance import Instance
from servicectx.state.instance_files import KEEPER
from servicectx.state.record import READY, State
from servicectx.system import processes

Calls = dict[str, int]


class Crowd:
    """A home with live instances, each with its data: only their locks are held, by this process."""

    def __init__(self, place: Path) -> None:
        self.home = marked.make(place / "servicectx-home", marked.HOME)
        self.root = marked.make(self.home / "data", marked.DATA)
        self._held: list[int] = []
        self._count = 0

    def add(self, count: int) -> None:
        for _ in range(count):
            path = self.instance().directory("0123abcd")
            self._held.append(presence.hold(path / KEEPER, in_children=True))

    def instance(self) -> Instance:
        """One more instance, without a keeper."""
        self._count += 1
        instance = Instance(self.home, f"redis-{self._count:012x}")
        instance.create("0123abcd")
        data = self.root / instance.directory("0123abcd").name
        self.make_data(data)
        instance.write(State("0123abcd", READY, "redis", "redis", 0.0, processes.me(), str(data)))
        return instance

    def make_data(self, path: Path) -> None:
        """Data of this home, whose keeper is dead."""
        path.mkdir()
        key, _, id = path.name.partition(".")
        record = container.Record(str(self.home), container.inode(self.home), key, id, origin.here())
        (path / container.RECORD).write_text(json.dumps(record._asdict()))
        (path / container.LOCK).touch()

    def sweep(self) -> None:
        cleanup.sweep(self.home, "redis-ffffffffffff", [self.root])

    def free(self) -> None:
        while self._held:
            os.close(self._held.pop())


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    crowd = Crowd(tmp_path)
    yield crowd
    crowd.free()


def calls(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The numbers of calls of the kernel that one sweep makes."""
    found: Calls = {"listdir": 0, "open": 0, "stat": 0}
    with monkeypatch.context() as patch:
        for name in found:

            def counted(
                *arguments: object, _name: str = name, _call: object = getattr(os, name), **named: object
            ) -> object:
                found[_name] += 1
                return _call(*arguments, **named)  # type: ignore[operator]

            patch.setattr(os, name, counted)
        crowd.sweep()
    return found


def test_a_live_instance_costs_one_look_at_its_lock(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd.add(5)
    few = calls(crowd, monkeypatch)
    crowd.add(40)
    many = calls(crowd, monkeypatch)
    assert many == few | {"open": few["open"] + 40}
    assert len(os.listdir(crowd.root)) == 45 + 1


def test_a_dead_instance_among_live_ones_goes(crowd: Crowd) -> None:
    crowd.add(3)
    dead = crowd.instance()
    lost = crowd.root / "redis-eeeeeeeeeeee.0123abcd"
    crowd.make_data(lost)
    crowd.sweep()
    assert not [name for name in os.listdir(crowd.home) if name.startswith(dead.key)]
    assert sorted(os.listdir(crowd.root)) == [
        marked.MARKER,
        *(f"redis-{number:012x}.0123abcd" for number in (1, 2, 3)),
    ]
    assert not lost.exists(), "data without an instance"
    crowd.free()
    crowd.sweep()
    assert sorted(os.listdir(crowd.home)) == [marked.MARKER, "data"]
    assert os.listdir(crowd.root) == [marked.MARKER]


def test_the_cleanup_call_of_data_that_another_instance_runs_on_is_left_out(crowd: Crowd, tmp_path: Path) -> None:
    """Persistent data has one instance after the other. The record of a dead one stays until a start finds it."""
    data = tmp_path / "persistent"
    data.mkdir()
    held = presence.hold(data / container.LOCK, in_children=True)
    for name, called in (("locked", False), ("free", True)):
        instance = crowd.instance()
        state = instance.look()
        assert state is not None
        state = state._replace(data_directory=str(data))
        instance.write(state)
        after_kill.note(instance.directory(state.id), {"target": "os:mkdir", "path": str(tmp_path / name)})
        cleanup.clear(instance, state)
        assert (tmp_path / name).exists() == called
        if not called:
            os.close(held)
