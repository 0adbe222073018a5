"""Details of external services take precedence: nothing is started, and each mistake is named in an error."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servicectx import DetailsError, ServiceDetails, managed, managed_all

GIVEN: dict[str, Any] = {"host": "db.example", "port": 6380, "password": "s3cret"}


@pytest.fixture(autouse=True)
def _nothing_was_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0")  # no server runs at these addresses
    yield
    assert list(home.iterdir()) == []


def test_a_path_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "redis.json"
    path.write_text(json.dumps(GIVEN))
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", str(path))
    lease = managed("redis")
    with lease as redis:
        assert (redis.host, redis.port, redis.password) == ("db.example", 6380, "s3cret")
        assert (redis.service, redis.name, redis.external, redis.db) == ("redis", "redis", True, 0)
        assert redis.url == "redis://:s3cret@db.example:6380/0"
        assert lease.external
        assert not lease.joined
        assert lease.log_path is None


def test_the_object_itself_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_POSTGRES_DETAILS", json.dumps({"host": "::1", "port": 1, "dbname": "x"}))
    with managed("postgres") as postgres:
        assert postgres.url == "postgresql://postgres@[::1]:1/x"


def test_a_home_directory_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis.json").write_text(json.dumps(GIVEN))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", "~/redis.json")
    with managed("redis") as redis:
        assert redis.port == 6380


def test_details_that_were_written_by_one_are_read_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    details = ServiceDetails(service="redis", name="other", host="h", port=9)
    monkeypatch.setenv("SERVICECTX_CACHE_DETAILS", str(details.write(tmp_path / "d.json")))
    with managed("redis", name="cache") as redis:
        assert (redis.host, redis.port, redis.name, redis.external) == ("h", 9, "cache", True)


@pytest.mark.parametrize(
    ("name", "variable"),
    [("orders", "SERVICECTX_ORDERS_DETAILS"), ("my-app.2", "SERVICECTX_MY_APP_2_DETAILS")],
)
def test_the_variable_follows_the_name(name: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, json.dumps(GIVEN))
    with managed("redis", name=name) as redis:
        assert (redis.host, redis.name) == ("db.example", name)


def test_the_environment_is_read_on_entering(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = managed("redis")
    for port in (1, 2):
        monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", json.dumps({"host": "h", "port": port}))
        with lease as redis:
            assert redis.port == port


def test_async_with_and_managed_all_read_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_CACHE_DETAILS", json.dumps(GIVEN))
    with managed_all(cache="redis") as services:
        assert services.cache.external

    async def enter() -> ServiceDetails:
        async with managed("redis", name="cache") as redis:
            return redis

    assert asyncio.run(enter()).external


def test_no_program_and_no_valid_home_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_REDIS_BIN", str(tmp_path))
    monkeypatch.setenv("SERVICECTX_HOME", "/dev/null")
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", json.dumps(GIVEN))
    with managed("redis") as redis:
        assert redis.external


# -- the names of managed-service-fixtures -----------------------------------------------------------------------


def test_the_old_name_and_its_hostname_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_REDIS_DETAILS", json.dumps({"hostname": "old.example", "port": 6379}))
    with managed("redis") as redis:
        assert (redis.host, redis.port, redis.external) == ("old.example", 6379, True)


def test_the_old_name_reads_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.json").write_text('{"hostname": "h", "port": 1}')
    monkeypatch.setenv("TEST_REDIS_DETAILS", str(tmp_path / "d.json"))
    with managed("redis") as redis:
        assert redis.host == "h"


def test_the_new_name_goes_before_the_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_REDIS_DETAILS", json.dumps({"hostname": "old", "port": 1}))
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", json.dumps({"host": "new", "port": 2}))
    with managed("redis") as redis:
        assert redis.host == "new"


@pytest.mark.parametrize(("alias", "name"), [("MYSQL", "mysql"), ("MYSQL", "mariadb"), ("MARIADB", "mysql")])
def test_another_word_for_the_service_will_do(alias: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SERVICECTX_{alias}_DETAILS", json.dumps({"host": "far.example", "port": 1}))
    with managed(name) as details:
        assert (details.service, details.host) == ("mariadb", "far.example")


def test_the_service_s_own_name_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_VALKEY_DETAILS", json.dumps({"host": "second", "port": 1}))
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", json.dumps({"host": "first", "port": 1}))
    with managed("valkey") as redis:
        assert redis.host == "first"


def test_hostname_is_no_field_of_the_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", json.dumps({"hostname": "h", "port": 1}))
    with pytest.raises(DetailsError) as caught, managed("redis"):
        pass
    assert caught.value.field in ("host", "hostname")


def test_host_and_hostname_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_REDIS_DETAILS", json.dumps({"hostname": "a", "host": "b", "port": 1}))
    with pytest.raises(DetailsError) as caught, managed("redis"):
        pass
    assert (caught.value.source, caught.value.field) == ("TEST_REDIS_DETAILS", "hostname")


# -- mistakes are named in errors --------------------------------------------------------------------------------

BAD: list[tuple[str, str | None, str]] = [
    ("", None, "it is set but empty"),
    ("   ", None, "it is set but empty"),
    ("{", None, "it is not JSON"),
    ('{"host": "h"}', "port", "Field required"),
    ('{"host": "h", "port": "1"}', "port", "valid integer"),
    ('{"host": "h", "port": 1, "colour": "red"}', "colour", "unknown field"),
    ('{"host": "h", "port": 1, "service": "postgres"}', "service", "it describes 'postgres', not 'redis'"),
]


@pytest.mark.parametrize("variable", ["SERVICECTX_REDIS_DETAILS", "TEST_REDIS_DETAILS"])
@pytest.mark.parametrize(("value", "field", "problem"), BAD)
def test_the_variable_and_the_field_are_named(
    variable: str, value: str, field: str | None, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(DetailsError) as caught, managed("redis"):
        pass
    error = caught.value
    assert (error.source, error.path, error.field) == (variable, None, field)
    assert problem in error.problem
    assert str(error).startswith(f"{variable}: ")


@pytest.mark.parametrize("variable", ["SERVICECTX_REDIS_DETAILS", "TEST_REDIS_DETAILS"])
@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("missing.json", None, "there is no such file"),
        (".", None, "it is a directory"),
        ("bad.json", "{'a': 1}", "it is not JSON"),
        ("empty.json", "", "it is not JSON"),
        ("list.json", "[]", "it holds a list, not a JSON object"),
        ("typo.json", '{"host": "h", "port": 1, "db": "0"}', "valid integer"),
    ],
)
def test_the_variable_and_the_path_are_named(
    variable: str, name: str, text: str | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(DetailsError) as caught, managed("redis"):
        pass
    assert (caught.value.source, caught.value.path) == (variable, str(path))
    assert problem in caught.value.problem
    assert f"{variable}: {path}" in str(caught.value)


def test_secrets_do_not_show_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", json.dumps({**GIVEN, "port": "s3cret", "password": ["s3cret"]}))
    with pytest.raises(DetailsError) as caught, managed("redis"):
        pass
    assert "s3cret" not in str(caught.value)


def test_the_object_can_be_entered_after_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = managed("redis")
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", "/no/such/file")
    with pytest.raises(DetailsError), lease:
        pass
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", json.dumps(GIVEN))
    with lease as redis:
        assert redis.external
