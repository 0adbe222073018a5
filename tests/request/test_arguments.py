"""Invalid arguments of `managed()` and `isolated()`: each has its own error, with a cure."""

import inspect
import math
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from servicectx_pytest import _settings

import servicectx
from servicectx import ConfigError, InvalidOption, RedisDetails, isolated, managed, managed_all
from servicectx.request import config
from servicectx.request.arguments import Arguments
from servicectx.services import options
from servicectx.system.typos import closest


def refused(service: Any, **arguments: Any) -> InvalidOption:
    with pytest.raises(InvalidOption) as caught:
        managed(service, **arguments)
    return caught.value


def fill(details: RedisDetails) -> None: ...


def extend(details: RedisDetails) -> None: ...


@pytest.mark.parametrize(
    ("argument", "value", "problem"),
    [
        ("linger", "soon", "'soon' is not a number of seconds"),
        ("timeout", True, "True is not a number of seconds"),
        ("storage", 5, "is neither"),
        ("snapshot", True, "it keeps the data after a set-up, and none is given"),
        ("setup", 5, "5 is neither a callable nor a file"),
        ("setup", [fill, 5], "5 is neither a callable nor a file"),
        ("setup", [fill, "none.sql"], "none.sql is not a file"),
        ("setup", "none.sql", "none.sql is not a file"),
        ("scope", 5, "5 is not a text"),
        ("name", 5, "5 is not a text"),
    ],
)
def test_an_argument_is_not_called_an_option_of_the_service(argument: str, value: Any, problem: str) -> None:
    error = refused("postgres", **{argument: value})
    assert (error.option, error.known) == (argument, None)
    assert str(error).startswith(f"postgres: argument {argument!r}: ")
    assert problem in str(error)
    assert "options of postgres" not in str(error)


def test_a_misspelt_argument_gets_a_guess() -> None:
    assert "did you mean 'linger'?" in str(refused("postgres", lingre=1))
    assert "did you mean 'timeout'?" in str(refused("redis", timout=1))
    assert "did you mean 'depends'?" in str(refused("redis", depend="*.sql"))


def test_the_lists_of_arguments_are_the_signature() -> None:
    signature = set(inspect.signature(managed).parameters) - {"service", "options"}
    assert set(options.ARGUMENTS) == set(Arguments.__annotations__) == signature
    assert set(config.ARGUMENTS) == signature - {"name", "data"} | {"service"}  # `open` has the data


# -- scopes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "word"),
    [
        ("privat", "private"),
        ("projct", "project"),
        ("usr", "user"),
        ("uesr", "user"),
        ("Project", "project"),
        ("users", "user"),
        (" user", "user"),
        ("projct:/srv/shop", "project:/srv/shop"),
    ],
)
def test_a_misspelt_word_for_a_scope_is_refused(scope: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused("redis", scope=scope)
    assert error.option == "scope"
    assert f"did you mean {word!r}?" in error.problem
    monkeypatch.setenv("SERVICECTX_SCOPE", scope)
    assert "(from SERVICECTX_SCOPE)" in refused("redis").problem


@pytest.mark.parametrize("scope", ["product", "shop", "private:mine", "ci-17", "team", "run-1", "project:", "x"])
def test_any_other_text_is_a_scope(scope: str) -> None:
    assert managed("redis", scope=scope)._request.scope == scope


def test_a_misspelt_scope_of_the_configuration_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.servicectx]\norders = {service = "redis", scope = "privat"}\n')
    with pytest.raises(ConfigError, match=r"orders.scope: 'privat': did you mean 'private'") as caught:
        managed("orders")
    assert caught.value.path == str(tmp_path / "pyproject.toml")
    assert refused("orders", scope="usr").option == "scope"
    monkeypatch.setenv("SERVICECTX_SCOPE", "projct")
    assert "SERVICECTX_SCOPE" in refused("orders").problem


@pytest.mark.parametrize(
    ("word", "slips", "found"),
    [
        ("user", 1, None),
        ("usre", 1, "user"),
        ("uxxr", 1, None),
        ("uxxr", 2, "user"),
        ("", 1, None),
        ("USER", 1, "user"),
    ],
)
def test_typos(word: str, slips: int, found: str | None) -> None:
    assert closest(word, ("user", "private"), slips) == found


# -- set-ups -----------------------------------------------------------------------------------------------------


def test_a_set_up_may_have_several_steps(tmp_path: Path) -> None:
    import psycopg

    (tmp_path / "one.sql").write_text("create table one (n int)")
    (tmp_path / "three.sql").write_text("insert into two values (3)")

    def two(details: servicectx.PostgresDetails) -> None:
        with psycopg.connect(details.url) as connection:
            connection.execute("create table two as select * from one")

    setup: list[Any] = [tmp_path / "one.sql", two, str(tmp_path / "three.sql")]
    with managed("postgres", setup=setup) as pg, psycopg.connect(pg.url) as connection:
        assert connection.execute("select * from two").fetchall() == [(3,)]
        with managed("postgres", setup=tuple(setup)) as same, isolated(pg, setup=setup[1:1]) as copy:
            assert same.port == pg.port
            with psycopg.connect(copy.url) as other:
                assert other.execute("select * from two").fetchall() == [(3,)]


def test_steps_are_part_of_the_key(tmp_path: Path) -> None:
    file = tmp_path / "a.sql"
    file.write_text("select 1")
    setups: list[Any] = [[fill, extend], [extend, fill], [fill, file], fill]
    keys = [managed("postgres", setup=setup).key for setup in setups]
    assert len(set(keys)) == 4
    assert managed("postgres", setup=[fill]).key == managed("postgres", setup=fill).key
    assert managed("postgres", setup=[file]).key == managed("postgres", setup=file).key
    before = managed("postgres", setup=[fill, file]).key
    file.write_text("select 2")
    assert managed("postgres", setup=[fill, file]).key != before


def test_a_failing_step_is_named() -> None:
    def fails(details: RedisDetails) -> None:
        raise LookupError("step 2")

    with pytest.raises(servicectx.SetupFailed, match="step 2") as caught:
        managed("redis", setup=[fill, fails]).__enter__()
    assert "fails" in caught.value.setup
    assert isinstance(caught.value.__cause__, LookupError)


def test_steps_in_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.sql").write_text("select 1")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.servicectx]\norders = {service = "postgres", setup = ["a.sql", "tests.request.test_arguments:fill"]}\n'
    )
    from tests.request import test_arguments

    written = managed("postgres", name="orders", setup=[tmp_path / "a.sql", test_arguments.fill])
    assert managed("orders").key == written.key


# -- isolated ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind", "service"),
    [
        (managed("redis"), "Managed", "redis"),
        (managed_all("redis"), "ManagedAll", "postgres"),
        (isolated(RedisDetails(service="redis", name="r", host="h", port=1)), "Isolated", "postgres"),
        ("postgresql://user:s3cret@h/db", "str", "postgres"),
        ({"service": "redis", "password": "s3cret"}, "dict", "postgres"),
        (None, "NoneType", "postgres"),
    ],
)
def test_isolated_takes_details(given: Any, kind: str, service: str) -> None:
    with pytest.raises(TypeError) as caught:
        isolated(given)
    assert f"not a {kind};" in str(caught.value)
    assert f'with managed("{service}") as pg, isolated(pg) as db' in str(caught.value)
    assert "s3cret" not in str(caught.value)


# -- durations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("2h", 7200),
        ("90s", 90),
        ("1.5", 1.5),
        (" 5m ", 300),
        (3, 3),
        (".5", 0.5),
        (Decimal("1.5"), 1.5),
        ("0", 0),
        ("forever", math.inf),
    ],
)
def test_one_parser_for_every_door(value: Any, meaning: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert servicectx.seconds(value) == meaning
    for argument in ("linger", "timeout"):
        assert getattr(managed("redis", **{argument: value})._request, argument) == meaning
        monkeypatch.setenv(f"SERVICECTX_{argument.upper()}", str(value))
        assert getattr(managed("redis")._request, argument) == meaning
        monkeypatch.delenv(f"SERVICECTX_{argument.upper()}")
        (tmp_path / "pyproject.toml").write_text(
            f'[tool.servicectx]\njobs = {{service = "redis", {argument} = "{value}"}}'
        )
        assert getattr(managed("jobs")._request, argument) == meaning
        os.unlink(tmp_path / "pyproject.toml")
    assert _settings._seconds(str(value)) == meaning  # --servicectx-linger


@pytest.mark.parametrize("value", ["1 s", "soon", "-1", "nan", "1x", "1_0", "٣", None, [], -1, float("nan"), True])
def test_other_texts_are_no_durations(value: Any) -> None:
    with pytest.raises(ValueError, match="is not a number of seconds"):
        servicectx.seconds(value)
