"""Custom services: passed, registered, or shipped by another package."""

import configparser
import re
import sys
from pathlib import Path
from typing import Any, get_args, get_overloads

import pytest

import servicectx
from servicectx import NotIsolable, Plan, Service, StartTimeout, UnknownService, isolated, managed, register
from servicectx.services import aliases, registry
from servicectx.testing import FakeDetails, FakeService


@pytest.fixture(autouse=True)
def _register_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


class Custom(FakeService):
    name = "custom"


def test_a_class_and_an_instance_can_be_passed() -> None:
    with managed(Custom) as first, managed(Custom()) as second:
        assert first == second
        assert (first.service, first.name) == ("custom", "custom")


def test_an_instance_may_carry_what_it_likes() -> None:
    class Labelled(Custom):
        def __init__(self, label: str) -> None:
            self.label = label

        def details(self, options: Any, facts: dict[str, Any], secret: str) -> dict[str, Any]:
            return {"password": secret}

    with managed(Labelled("a")) as fake:
        assert fake.ask("GET a") == ""


def test_a_registered_service_is_known_by_its_name() -> None:
    register(Custom)
    assert "custom" in registry.names()
    with managed("custom", label="x") as fake:  # type: ignore[call-overload]
        assert fake.service == "custom"


def test_the_second_registration_replaces_the_first() -> None:
    first, second = Custom(), Custom()
    register(first)
    register(second)
    assert registry.find("custom") is second


def test_a_built_in_can_be_replaced() -> None:
    class Redis(FakeService):
        name = "redis"

    register(Redis, replace=True)
    with managed("redis") as fake:
        assert fake.ask("GET a") == ""  # type: ignore[attr-defined]


def test_a_passed_service_does_not_shadow_others_of_its_name() -> None:
    """The details decide: those of a passed service, of another passed one, or of the built-in one."""

    class OtherDetails(FakeDetails):
        pass

    class Redis(FakeService):
        name = "redis"

    class Other(FakeService):
        name = "redis"
        Details = OtherDetails

    mine, other = Redis(), Other()
    with managed("redis") as built_in, managed(mine, name="mine") as fake, managed(other, name="other") as another:
        assert registry.find_again(fake) is mine
        assert registry.find_again(another) is other
        with isolated(built_in) as database:
            assert database.db != built_in.db
        with pytest.raises(NotIsolable):
            isolated(fake).__enter__()


@pytest.mark.parametrize("thing", [object(), int, "redis", FakeService.plan, None])
def test_what_is_no_service_is_not_registered(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"register\(\) takes a servicectx\.Service with a name"):
        register(thing)


def test_a_service_without_a_name_is_not_registered() -> None:
    class Nameless(Service[Any]):
        pass

    for use in (register, managed):
        with pytest.raises(TypeError, match=r"the service class Nameless has no name; write in its body: name = "):
            use(Nameless)


def test_a_service_without_details_is_refused_before_a_start() -> None:
    class Bare(Service[Any]):
        name = "bare"

    for use in (register, managed):
        with pytest.raises(TypeError, match=r"the service class Bare has no Details; write in its body: Details ="):
            use(Bare)


def test_a_plan_without_its_port_gets_a_hint() -> None:
    class Deaf(FakeService):
        name = "deaf"

        def plan(self, options: Any, program: str, secret: str) -> Plan:
            command = [sys.executable, "-c", "import time; time.sleep(600)"]
            probe = {"kind": "http", "url": "http://{host}:{port}/"}
            return Plan(service=self.name, command=command, environment={}, ready=probe, ping=probe)

    with pytest.raises(StartTimeout, match=r"its own protocol; the command, the .* do not contain \{port\}, so"):
        managed(Deaf, timeout=0.5).__enter__()


@pytest.mark.parametrize(("alias", "name"), [("postgresql", "postgres"), ("valkey", "redis")])
def test_aliases_mean_the_same(alias: str, name: str) -> None:
    assert registry.find(alias) is registry.find(name)
    assert alias not in registry.names()


def test_an_alias_and_its_name_share_one_instance() -> None:
    with managed("redis") as first, managed("valkey") as second:
        assert first == second


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A third-party package with two services, one of which cannot be loaded."""
    (tmp_path / "their_services.py").write_text(
        "from servicectx.testing import FakeDetails, FakeService\n\n\nclass Theirs(FakeService):\n    name = 'theirs'\n"
    )
    info = tmp_path / "their_services-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-services\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[servicectx.services]\ntheirs = their_services:Theirs\nbroken = their_services:Missing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "their_services", raising=False)
    return tmp_path


@pytest.mark.usefixtures("plugin")
def test_an_entry_point_is_found_by_its_name() -> None:
    assert "theirs" in registry.names()
    assert "their_services" not in sys.modules
    with managed("theirs") as fake:
        assert fake.service == "theirs"
        assert fake.ask("SET a 1") == "1"


@pytest.mark.usefixtures("plugin")
def test_an_entry_point_that_cannot_be_loaded_says_so() -> None:
    with pytest.raises(AttributeError, match="Missing"):
        managed("broken")


def test_without_the_package_its_name_is_unknown() -> None:
    with pytest.raises(UnknownService):
        managed("theirs")


# -- the built-in ones -------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
BUILT_IN = sorted({*registry.BUILT_IN, *aliases.ALIASES})


@pytest.mark.parametrize("name", BUILT_IN)
def test_type_checkers_know_the_details_of_each(name: str) -> None:
    (details,) = (
        overload.__annotations__["return"].removeprefix("Managed[").removesuffix("]")
        for overload in get_overloads(servicectx.managed)
        if name in get_args(overload.__annotations__["service"])
    )
    assert details in servicectx.__all__
    assert registry.find(name).details_model() is getattr(servicectx, details)


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_each_can_be_installed_by_its_name(name: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert name in setup["options.extras_require"] or name == "command"
    assert registry.find(name).name == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("redis", "is the name of a built-in service"),
        ("valkey", "is the name of a built-in service"),
        ("My Server", "invalid service name"),
        ("../up", "invalid service name"),
    ],
)
def test_a_built_in_or_odd_name_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        register(type("Custom", (Service,), {"name": name}))
    assert type(registry.find("redis")).__module__ == "servicectx.services.redis.service"


class Unplanned(Service):  # type: ignore[type-arg]
    name = "unplanned"
    Details = FakeDetails

    def program(self, options: Any) -> str:
        return sys.executable


class Unfound(Service):  # type: ignore[type-arg]
    name = "unfound"
    Details = FakeDetails


@pytest.mark.parametrize(("service", "part"), [(Unplanned, "plan()"), (Unfound, "program()` or the attribute `search")])
def test_a_class_without_a_part_is_an_error_that_names_it(service: type[Service[Any]], part: str) -> None:
    with pytest.raises(NotImplementedError, match=re.escape(f"the class {service.__name__} needs `{part}`")):
        managed(service).__enter__()
