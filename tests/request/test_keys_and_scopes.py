"""Equal scope, name, service, options, set-up and program give the same instance; any difference gives another."""

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from servicectx import managed
from servicectx.cli.app import app
from servicectx.client import inventory
from servicectx.request.fingerprint import called, coded
from servicectx.request.project import project
from servicectx.testing import FakeDetails, FakeService


class OtherService(FakeService):
    name = "other"


def set_up(fake: Any) -> None:
    fake.ask("SET a 1")


def set_up_otherwise(fake: FakeDetails) -> None:
    fake.ask("SET a 1")


def same_instance(one: dict[str, Any], other: dict[str, Any]) -> bool:
    service = one.get("service", FakeService) if "settings" in one else FakeService
    one, other = {"service": service, **one}, {"service": service, **other}
    with managed(one.pop("service"), **one) as first, managed(other.pop("service"), **other) as second:
        assert (first.port == second.port) == (first.password == second.password)
        return first.port == second.port


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"label": "x"}, {"label": "x"}),
        ({}, {"label": ""}),
        ({"name": "fake"}, {}),
        ({"scope": "project"}, {}),
        ({"scope": "team"}, {"scope": "team"}),
        ({"setup": set_up}, {"setup": set_up}),
        ({"timeout": 9.0}, {"timeout": 30.0, "keep_data": False}),
        ({"service": FakeService()}, {}),
        ({"service": "redis"}, {"service": "valkey"}),
        ({"service": "redis", "settings": {"hz": 5, "maxclients": 9}}, {"settings": {"maxclients": 9, "hz": 5}}),
    ],
)
def test_who_asks_for_the_same_gets_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert same_instance(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"name": "a"}, {"name": "b"}),
        ({"label": "x"}, {"label": "y"}),
        ({"scope": "team"}, {}),
        ({"scope": "team"}, {"scope": "Team"}),
        ({"scope": "user"}, {"scope": "project"}),
        ({"scope": "private"}, {"scope": "private"}),
        ({"setup": set_up}, {}),
        ({"setup": set_up}, {"setup": set_up_otherwise}),
        ({"setup": functools.partial(set_up)}, {"setup": set_up}),
        ({"service": OtherService, "name": "fake"}, {}),
        ({"service": "redis", "settings": {"hz": 5}}, {"settings": {}}),
    ],
)
def test_who_asks_for_something_else_gets_something_else(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not same_instance(one, other)


def test_private_is_private_even_for_one_object() -> None:
    lease = managed(FakeService, scope="private")
    with lease as first, managed(FakeService, scope="private") as second:
        assert first.port != second.port


def test_a_private_key_is_that_of_its_instance() -> None:
    one, other = managed(FakeService, scope="private"), managed(FakeService, scope="private")
    assert one.key == one.key != other.key
    before = one.key
    with one:
        assert one.key == before == inventory.running()[0].key
    key_of_child = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(key_of_child[1], str(one.key).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(key_of_child[1])
    with open(key_of_child[0]) as read:
        assert read.read() not in ("", one.key)


def test_a_private_instance_that_lingers_is_not_joined() -> None:
    one = managed(FakeService, scope="private", linger=60)
    with one as first:
        pass
    with one as second:
        assert second.port != first.port
    assert CliRunner().invoke(app, ["down", "--all"], standalone_mode=False).exception is None


def test_names_that_look_alike_in_a_file_name_differ() -> None:
    names = ["a b", "ab", "a/b", "../ab", "AB", "a\nb", "ä" * 300, "ä" * 301]
    several = [managed(FakeService, name=name) for name in names]
    assert len({lease.__enter__().port for lease in several}) == len(names)
    for lease in several:
        lease.__exit__()


def test_another_program_is_another_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    with managed(FakeService) as plain:
        monkeypatch.setenv("SERVICECTX_FAKE_BIN", str(tmp_path))
        with managed(FakeService) as other:
            assert other.port != plain.port
            with (tmp_path / "python3").open("a") as file:
                file.write("# upgraded\n")
            with managed(FakeService) as upgraded:
                assert upgraded.port not in (other.port, plain.port)


# -- projects ----------------------------------------------------------------------------------------------------

USER = """
from servicectx import managed
from servicectx.testing import FakeService
import sys
with managed(FakeService) as fake:
    print(fake.port, flush=True)
    sys.stdin.readline()
"""


def port_from(directory: Path, **environment: str) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", USER],
        cwd=directory,
        env=os.environ | environment,
        input="\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.parametrize("mark", ["pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "pytest.ini", ".git", ".hg"])
def test_a_project_is_shared_from_all_of_its_directories(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one" / mark).mkdir(parents=True)
    (tmp_path / "one" / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "one")
    with managed(FakeService) as fake:
        assert port_from(tmp_path / "one" / "deep" / "er") == fake.port
        (tmp_path / "two" / mark).mkdir(parents=True)
        assert port_from(tmp_path / "two") != fake.port


def test_a_project_in_a_project_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner" / ".git").mkdir(parents=True)
    (tmp_path / "setup.cfg").touch()
    monkeypatch.chdir(tmp_path / "inner")
    assert project() == tmp_path / "inner"
    monkeypatch.chdir(tmp_path)
    assert project() == tmp_path


def test_without_any_mark_the_directory_is_the_project() -> None:
    assert project("/") == Path("/")


@pytest.mark.parametrize("scope", ["user", "any text"])
def test_other_scopes_do_not_care_for_the_project(scope: str, tmp_path: Path) -> None:
    with managed(FakeService, scope=scope) as fake:
        assert port_from(tmp_path, SERVICECTX_SCOPE=scope) == fake.port


def test_the_scope_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_SCOPE", "ours")
    with managed(FakeService) as by_variable, managed(FakeService, scope="ours") as by_argument:
        assert by_variable == by_argument
        with managed(FakeService, scope="project") as other:
            assert other.port != by_variable.port


# -- the identity of a set-up -----------------------------------------------------------------------------------------

MIGRATION = """\
import functools, sys
from servicectx import managed
from servicectx.testing import FakeService
def migrate(fake): fake.ask("SET a 1")
class Steps:
    def run(self, fake): fake.ask("SET a 2")
    @staticmethod
    def static(fake): fake.ask("SET a 3")
def outer():
    def inner(fake): fake.ask("SET a 4")
    return inner
@functools.wraps(migrate)
def wrapped(fake): migrate(fake)
setups = [
    *(migrate, Steps().run, Steps.static, outer(), lambda fake: fake.ask("5"), lambda fake: fake.ask("6")),
    *(functools.partial(migrate), functools.partial(lambda value, fake: fake.ask("SET a " + value), "7")),
    *(functools.partial(migrate, object()), functools.partial(migrate, None, [{"a": {1, "b", None}}])),
]
if __name__ == "__main__":
    from servicectx.request.fingerprint import called
    import json
    print(json.dumps([called(setup) for setup in setups]))
"""


def test_a_set_up_is_called_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "migration.py").write_text(MIGRATION)
    outputs = [
        subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, arguments in enumerate([["migration.py"], ["migration.py"], ["./migration.py", "argument"]])
    ]
    assert len(set(outputs)) == 1
    names = json.loads(outputs[0])
    assert len(set(names)) == len(names)


HELD = """\
import collections, datetime, decimal, enum, functools, pathlib, re, sys, uuid
from dataclasses import dataclass
import pydantic
class Color(enum.Enum):
    RED = 1
    BLUE = 2
@dataclass
class Tenant:
    name: str
class Model(pydantic.BaseModel):
    rows: dict[str, int]
class Pair(collections.namedtuple("Pair", "x y")):
    pass
class Slots:
    __slots__ = ("rows",)
    def __init__(self, rows): self.rows = rows
class Seeder:
    def __init__(self, rows): self.rows = rows
    def __call__(self, fake): pass
    def seed(self, fake): pass
class Other(Seeder):
    pass
def seed(*arguments, **keywords): pass
def closing(value):
    return lambda fake: value
def tagged(tag, function):
    @functools.wraps(function)
    def run(fake): return function(fake, tag)
    return run
def deep(value, depth):
    return {"rows": [deep(value, depth - 1)]} if depth else value
day = functools.partial(datetime.datetime, 2024, 1, 1)
values = [
    *(Tenant("a"), Tenant("b"), Color.RED, Color.BLUE, Model(rows={"a": 1}), Model(rows={"a": 2})),
    *(Pair(1, 2), Pair(1, 3), Slots(1), Slots(2), day(), day(tzinfo=datetime.timezone.utc)),
    *(datetime.date(2024, 1, 1), datetime.date(2025, 1, 1)),
    *(pathlib.Path("a"), pathlib.Path("b"), decimal.Decimal("1.0"), decimal.Decimal("1.00"), uuid.UUID(int=1)),
    *(uuid.UUID(int=2), re.compile("a"), re.compile("b"), {"a", "b", 1}, {"a", "b", 2}, {Tenant: 1}, {Tenant: 2}),
    *(deep(1, 40), deep(2, 40), 1, 1.0, True, "1", b"1", "x" * 1000 + "a", "x" * 1000 + "b", object(), Tenant, re, len),
]
setups = [
    *(Seeder(1).seed, Seeder(2).seed, Other(1).seed, Seeder(1), Seeder(2), Other(1), Seeder(Tenant("a"))),
    *(seed, tagged("a", seed), tagged("b", seed), functools.lru_cache(seed)),
    *(closing(value) for value in values),
    *(functools.partial(seed, value) for value in values),
    *(functools.partial(seed, value=value) for value in values),
]
if __name__ == "__main__":
    from servicectx.request.fingerprint import called, coded
    import json
    print(json.dumps([[describe(setup) for setup in setups] for describe in (called, coded)]))
"""


def test_a_set_up_is_known_by_all_that_it_holds_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "held.py").write_text(HELD)
    outputs = [
        subprocess.run(
            [sys.executable, "held.py"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    ]
    assert len(set(outputs)) == 1
    for names in json.loads(outputs[0]):
        assert not [name for name in names if names.count(name) > 1 or " at 0x" in name]


class Seeder:
    def __init__(self, value: str) -> None:
        self.value = value

    def seed(self, fake: FakeDetails) -> None:
        fake.ask(f"SET a {self.value}")

    __call__ = seed


@pytest.mark.parametrize("make", [Seeder, lambda value: Seeder(value).seed])
def test_an_object_is_known_by_its_state(make: Any) -> None:
    with managed(FakeService, setup=make("one")) as first, managed(FakeService, setup=make("two")) as second:
        assert (first.ask("GET a"), second.ask("GET a")) == ("one", "two")
        with managed(FakeService, setup=make("one")) as same:
            assert same == first


@pytest.mark.parametrize("describe", [called, coded])
def test_objects_without_a_pickled_state_count_by_their_type(describe: Any) -> None:
    texts = [describe(functools.partial(set_up, threading.Lock())) for _ in range(2)]
    assert texts[0] == texts[1]
    assert "_thread:lock" in texts[0]
    assert describe(functools.partial(set_up, threading.RLock())) != texts[0]
    code = (
        "import threading; from servicectx.request.fingerprint import called; print(called(threading.Lock().acquire))"
    )
    command = [sys.executable, "-c", code]
    assert len({subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2)}) == 1


def test_data_that_are_endless_or_very_deep_have_a_text() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    assert called(functools.partial(set_up, endless)) == called(functools.partial(set_up, endless))
    assert called(functools.partial(set_up, deep)) == called(functools.partial(set_up, deep))
    assert called(functools.partial(set_up, deep)) != called(functools.partial(set_up_otherwise, deep))


HELPED = """
def helper(fake):
    fake.ask("SET a {value}")
def seed(fake):
    helper(fake)
class Seeder:
    def seed(self, fake):
        self.write(fake)
    def __call__(self, fake):
        self.write(fake)
    def write(self, fake):
        fake.ask("SET a {value}")
"""


def test_code_counts_where_data_are_kept_and_its_place_in_the_file_does_not() -> None:
    def setups(text: str) -> list[Any]:
        module: dict[str, Any] = {"__name__": "migration"}
        exec(text, module)
        return [module["helper"], module["seed"], module["Seeder"]().seed, module["Seeder"]()]

    before, moved = setups(HELPED.format(value=1)), setups("\n\n# a note\n" + HELPED.format(value=1))
    changed = setups(HELPED.format(value=2))
    assert [coded(step) for step in before] == [coded(step) for step in moved]
    assert not {coded(step) for step in before} & {coded(step) for step in changed}
    assert [called(step) for step in before] == [called(step) for step in changed]


def test_the_same_code_in_another_directory_has_the_same_name(tmp_path: Path) -> None:
    outputs = set()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "migration.py").write_text(MIGRATION)
        command = [sys.executable, "migration.py"]
        outputs.add(subprocess.run(command, cwd=tmp_path / folder, capture_output=True, text=True, check=True).stdout)
        shutil.rmtree(tmp_path / folder)
    assert len(outputs) == 1


def test_local_functions_differ_by_their_code() -> None:
    def make(number: int) -> Any:
        if number == 1:
            return lambda fake: fake.ask("SET a 1")
        return lambda fake: fake.ask("SET a 2")

    assert called(make(1)) == called(make(1))
    assert called(make(1)) != called(make(2))


def test_local_functions_differ_by_what_they_close_over() -> None:
    def make(value: str) -> Any:
        def fill(fake: FakeDetails) -> None:
            fake.ask(f"SET a {value}")

        return fill

    with managed(FakeService, setup=make("one")) as first, managed(FakeService, setup=make("two")) as second:
        assert (first.ask("GET a"), second.ask("GET a")) == ("one", "two")


def test_local_functions_differ_by_their_defaults() -> None:
    def make(given: str) -> Any:
        def fill(fake: FakeDetails, value: str = given) -> None:
            fake.ask(f"SET a {value}")

        return fill

    with managed(FakeService, setup=make("one")) as first, managed(FakeService, setup=make("two")) as second:
        assert (first.ask("GET a"), second.ask("GET a")) == ("one", "two")


def test_local_functions_differ_by_the_names_they_use() -> None:
    with (
        managed(FakeService, setup=lambda fake: set_up(fake)) as first,
        managed(FakeService, setup=lambda fake: set_up_otherwise(fake)) as second,
    ):
        assert first.port != second.port


def test_local_functions_that_hold_themselves_can_be_named() -> None:
    def again(number: int) -> int:
        return again(number - 1) if number else 0

    def late() -> Any:
        return missing

    assert called(again) == called(again)
    assert called(late) == called(late)
    missing = 1


def test_an_object_s_address_is_in_no_name() -> None:
    def make(value: object) -> Any:
        return lambda fake: fake.ask(value)

    assert called(make(object())) == called(make(object()))
    assert called(make(Path("a"))) != called(make(Path("b")))
    assert called(make(FakeDetails)) != called(make(FakeService))
