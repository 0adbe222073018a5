"""Same scope, name, service, options, set-up and program: same instance. Any of them differs: another one."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from servicectx import managed
from servicectx._key import called, project
from servicectx.testing import FakeDetails, FakeService


class OtherService(FakeService):
    name = "other"


def set_up(fake: FakeDetails) -> None:
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

ASK = """
from servicectx import managed
from servicectx.testing import FakeService
import sys
with managed(FakeService) as fake:
    print(fake.port, flush=True)
    sys.stdin.readline()
"""


def port_from(directory: Path, **environment: str) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    said = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=directory,
        env=os.environ | environment,
        input="\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return int(said.stdout)


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


# -- the name of a set-up ----------------------------------------------------------------------------------------

MIGRATION = """
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
    *(functools.partial(migrate), functools.partial(lambda word, fake: fake.ask("SET a " + word), "7")),
    *(functools.partial(migrate, object()), functools.partial(migrate, None, [{"a": {1, "b", None}}])),
]
if __name__ == "__main__":
    from servicectx._key import called
    import json
    print(json.dumps([called(each) for each in setups]))
"""


def test_a_set_up_is_called_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "migration.py").write_text(MIGRATION)
    said = [
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
    assert len(set(said)) == 1
    names = json.loads(said[0])
    assert len(set(names)) == len(names)


def test_the_same_code_elsewhere_is_another_set_up(tmp_path: Path) -> None:
    said = set()
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "migration.py").write_text(MIGRATION)
        command = [sys.executable, "migration.py"]
        said.add(subprocess.run(command, cwd=tmp_path / place, capture_output=True, text=True, check=True).stdout)
        shutil.rmtree(tmp_path / place)
    assert len(said) == 2


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
