"""Services with the methods that came before `Service.isolation`, and services that mix both."""

import logging
import os
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from servicectx import Isolation, NotIsolable, SetupFailed, isolated, managed, register
from servicectx.isolation import namespace
from servicectx.isolation.namespace_methods import isolation_of
from servicectx.isolation.setup_step import SetupStep
from servicectx.services import registry
from servicectx.testing import FakeDetails, FakeService, Usage, check_service

events: list[str] = []


class RoomDetails(FakeDetails):
    prefix: str = ""

    def env(self) -> dict[str, str]:
        return {"FAKE_URL": self.url, "FAKE_PREFIX": self.prefix}


class Rooms(FakeService):
    """Namespaces by two methods."""

    name: ClassVar[str] = "rooms"
    Details: ClassVar[Any] = RoomDetails

    def open_namespace(self, details: RoomDetails) -> RoomDetails:
        events.append("open")
        return details.model_copy(update={"prefix": os.urandom(4).hex()})

    def close_namespace(self, namespace: RoomDetails) -> None:
        events.append(f"close {namespace.prefix}")


class KeptRooms(Rooms):
    """Namespaces by all methods."""

    name: ClassVar[str] = "kept_rooms"

    def open_layered(self, details: RoomDetails, layers: Sequence[SetupStep]) -> RoomDetails:
        events.append(f"layers: {', '.join(layer.label for layer in layers)}")
        namespace = self.open_namespace(details)
        for layer in layers:
            layer.run(namespace)
        return namespace

    def keep_namespace(self, namespace: RoomDetails) -> None:
        events.append(f"keep {namespace.prefix}")


def note(details: RoomDetails) -> None:
    events.append(f"set up {details.prefix}")


class RoomIsolation(Isolation[RoomDetails]):
    def create(self) -> RoomDetails:
        return self.details.model_copy(update={"prefix": "new"})

    def close(self, namespace: RoomDetails) -> None:
        events.append(f"new close {namespace.prefix}")

    def keep(self, namespace: RoomDetails) -> None:
        events.append(f"new keep {namespace.prefix}")

    def freeze(self) -> bool:
        return False


class Replaced(Rooms):
    """A subclass that replaces the methods by an isolation."""

    def isolation(self, details: Any, data: str = "") -> Isolation[Any]:
        return RoomIsolation(details)


class Partly(Replaced):
    """A subclass that replaces one part of an isolation by a method."""

    def open_namespace(self, details: RoomDetails) -> RoomDetails:
        return details.model_copy(update={"prefix": "mine"})


class OnlyFreeze(FakeService):
    """A service without namespaces that decides about its snapshot."""

    def freeze(self, details: FakeDetails) -> None:
        events.append("freeze")


DETAILS = RoomDetails(service="rooms", name="rooms", host="127.0.0.1", port=1, password="")


@pytest.fixture(autouse=True)
def no_events() -> None:
    events.clear()


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(namespace, "KEPT_FOR", 0.0)  # the server ends with its last user
    for kind in (Rooms, KeptRooms):
        register(kind)


@pytest.mark.usefixtures("registered")
def test_two_methods_open_and_close_a_namespace(caplog: pytest.LogCaptureFixture) -> None:
    with managed("rooms") as rooms:
        with isolated(rooms, setup=note) as mine:
            assert events == ["open", f"set up {mine.prefix}"]
        assert events[2:] == [f"close {mine.prefix}"]
        with caplog.at_level(logging.WARNING), isolated(rooms, keep=True) as kept:
            assert kept.prefix
        assert "it stays until the first `isolated()` after the end of this process" in caplog.text
        assert events[3:] == ["open"]


@pytest.mark.usefixtures("registered")
def test_a_failed_set_up_closes_the_namespace() -> None:
    def fail(details: RoomDetails) -> None:
        raise ValueError(details.prefix)

    with managed("rooms") as rooms, pytest.raises(SetupFailed) as caught:
        isolated(rooms, setup=fail).__enter__()
    assert events == ["open", f"close {caught.value.problem.removeprefix('ValueError: ')}"]


@pytest.mark.usefixtures("registered")
def test_methods_for_set_ups_and_for_kept_namespaces_are_called(caplog: pytest.LogCaptureFixture) -> None:
    with managed("kept_rooms") as rooms:
        with caplog.at_level(logging.WARNING), isolated(rooms, setup=note, keep=True) as mine:
            pass
        assert events == [f"layers: {__name__}:note", "open", f"set up {mine.prefix}", f"keep {mine.prefix}"]
        assert "its server stays up" in caplog.text


def test_the_most_derived_class_decides() -> None:
    replaced = isolation_of(Replaced(), DETAILS)
    assert isinstance(replaced, RoomIsolation)
    partly = isolation_of(Partly(), DETAILS)
    assert partly is not None
    assert partly.keeps
    mine = partly.open()
    assert mine.prefix == "mine"
    partly.keep(mine)
    partly.close(mine)
    assert events == ["new keep mine", "close mine"]
    assert not partly.freeze()


def test_a_service_that_only_freezes_has_no_namespaces() -> None:
    isolation = isolation_of(OnlyFreeze(), DETAILS)
    assert isolation is not None
    assert isolation.freeze(), "None is not a refusal"
    assert events == ["freeze"]
    with pytest.raises(NotIsolable, match="has no namespaces"):
        isolation.open()
    assert isolation_of(FakeService(), DETAILS) is None


def test_conformance_checks_cover_the_namespaces() -> None:
    def put(details: RoomDetails, name: str, text: str) -> None:
        details.ask(f"SET {details.prefix}{name} {text}")

    def get(details: RoomDetails, name: str) -> str | None:
        return details.ask(f"GET {details.prefix}{name}") or None

    check_service(Rooms, usage=Usage(put, get), binary=False)
    assert events.count("open") == 3
