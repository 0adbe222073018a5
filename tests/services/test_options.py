"""Arguments and options are checked first, and the errors list the known names."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel, Field

from servicectx import InvalidOption, UnknownService, managed, managed_all
from servicectx.testing import FakeService


def refused(service: Any, **arguments: Any) -> InvalidOption:
    with pytest.raises(InvalidOption) as caught:
        managed(service, **arguments).__enter__()
    return caught.value


def test_an_unknown_option_lists_the_known_ones() -> None:
    error = refused("postgres", databse="x")
    assert (error.service, error.option) == ("postgres", "databse")
    known = ["version", "dbname", "user", "settings", "locale", "scram_iterations", "password", "socket", "extensions"]
    assert error.known == known
    assert f"options of postgres: {', '.join(known)}" in str(error)


def test_a_near_miss_gets_a_guess() -> None:
    assert "did you mean 'settings'?" in refused("redis", setings={}).problem
    assert "did you mean 'dbname'?" in refused("postgres", database="shop").problem
    assert "`isolated(details)`" in refused("redis", isolated=True).problem
    assert "servers listen on loopback" in refused("redis", host="0.0.0.0").problem
    assert refused("redis", paint=1).problem == "unknown"


@pytest.mark.parametrize(
    ("service", "option", "value"),
    [
        ("postgres", "version", ["16"]),
        ("postgres", "version", 15.5),
        ("postgres", "extensions", 5),
        ("postgres", "dbname", ["a"]),
        ("postgres", "dbname", ""),
        ("mariadb", "dbname", "a" * 65),
        ("postgres", "settings", "fsync=off"),
        ("redis", "settings", {"maxmemory": object()}),
        ("command", "grace", "soon"),
        ("command", "env", {"A": 1}),
        (FakeService, "delay", "long"),
    ],
)
def test_a_wrong_value_names_service_and_option(service: Any, option: str, value: Any) -> None:
    error = refused(service, **{option: value})
    assert (error.service, error.option) == (getattr(service, "name", service), option)
    assert option in (error.known or [])


def test_an_object_that_is_not_entered_has_no_details() -> None:
    for name in ("url", "start", "port"):
        with pytest.raises(AttributeError, match=r"the details are in a block: `with managed\('redis'\) as details:`"):
            getattr(managed("redis"), name)


def test_a_wrong_value_is_not_shown() -> None:
    assert "s3cret" not in str(refused("postgres", dbname=["s3cret"]))


@pytest.mark.parametrize("name", ["port", "LISTEN_ADDRESSES", "data_directory"])
def test_settings_that_postgres_needs_cannot_be_changed(name: str) -> None:
    error = refused("postgres", settings={name: "1"})
    assert (error.option, error.problem) == ("settings", f"{name!r} is set by servicectx and cannot be changed")


@pytest.mark.parametrize("name", ["bind", "Port", "requirepass"])
def test_settings_that_redis_needs_cannot_be_changed(name: str) -> None:
    assert refused("redis", settings={name: "1"}).option == "settings"


@pytest.mark.parametrize(
    ("arguments", "option", "problem"),
    [
        ({}, "command", "the command is empty"),
        ({"command": []}, "command", "the command is empty"),
        ({"command": ["sleep", "9"]}, "command", "it does not contain {port}"),
        ({"command": ["sleep", "{port}"], "ready": "soon"}, "ready", "'soon' is not 'tcp'"),
        ({"command": ["sleep", "{port}"], "ready": "log:("}, "ready", "'(' is not a regular expression"),
        ({"command": ["sleep", "{port}"], "stop_signal": "SIGNOPE"}, "stop_signal", "is not the name of a signal"),
    ],
)
def test_what_a_command_needs(arguments: dict[str, Any], option: str, problem: str) -> None:
    error = refused("command", **arguments)
    assert error.option == option
    assert problem in error.problem


@pytest.mark.parametrize("value", ["soon", -1, float("nan"), [], "1 s"])
@pytest.mark.parametrize("option", ["linger", "timeout"])
def test_durations_are_seconds(option: str, value: Any) -> None:
    error = refused("redis", **{option: value})
    assert error.option == option
    assert "is not a number of seconds" in error.problem


@pytest.mark.parametrize("option", ["linger", "timeout"])
def test_durations_from_the_environment_are_seconds(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"SERVICECTX_{option.upper()}"
    monkeypatch.setenv(variable, "a while")
    error = refused("redis")
    assert error.option == option
    assert f"'a while' (from {variable})" in error.problem
    assert managed("redis", **{option: 1.5})  # type: ignore[call-overload]  # an argument overrides a variable


def test_a_set_up_file_must_be_there(tmp_path: Any) -> None:
    error = refused("postgres", setup=[tmp_path / "schema.sql"])
    assert (error.option, error.problem) == ("setup", f"{tmp_path / 'schema.sql'} is not a file")


def test_files_are_refused_where_the_service_takes_none(tmp_path: Any) -> None:
    (tmp_path / "a.sql").write_text("select 1")
    error = refused("redis", setup=tmp_path / "a.sql")
    assert (error.option, error.problem) == ("setup", "redis takes a callable, not files")


def test_an_unknown_service_lists_the_known_ones() -> None:
    with pytest.raises(UnknownService) as caught:
        managed("postgers")
    assert {"postgres", "redis", "command"} <= set(caught.value.known)
    assert "Did you mean 'postgres'?" in str(caught.value)


@pytest.mark.parametrize("service", [None, 5, object(), int, b"redis"])
def test_what_is_no_service_is_a_type_error(service: Any) -> None:
    with pytest.raises(TypeError, match=r"a service is a name, a servicectx\.Service class or an instance"):
        managed(service)


def test_managed_all_takes_one_form_at_a_time() -> None:
    with pytest.raises(TypeError, match="in order, or by name, not both"):
        managed_all("redis", cache="redis")


def test_nothing_happens_before_the_block(home: Any) -> None:
    managed("redis", linger=5)
    assert list(home.iterdir()) == []


@dataclass(frozen=True, kw_only=True)
class Colours:
    red: int = 1
    names: list[str] = field(default_factory=list)


class Shades(BaseModel):
    dark: bool = False
    depth: int = Field(default=3, gt=0)


class WithDataclass(FakeService):
    Options = Colours


class WithModel(FakeService):
    Options = Shades


@pytest.mark.parametrize(
    ("service", "given", "option"),
    [
        (WithDataclass, {"red": "deep"}, "red"),
        (WithDataclass, {"blue": 1}, "blue"),
        (WithModel, {"depth": 0}, "depth"),
        (WithModel, {"darker": True}, "darker"),
    ],
)
def test_options_may_be_a_dataclass_or_a_model(service: Any, given: dict[str, Any], option: str) -> None:
    error = refused(service, **given)
    assert error.option == option
    assert error.known in (["red", "names"], ["dark", "depth"])
