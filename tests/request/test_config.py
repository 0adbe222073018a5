"""Named services of a project: the fields in pyproject.toml and setup.cfg, their readers and their errors."""

import json
import os
import pickle
import sys
from pathlib import Path

import pytest

import servicectx
from servicectx import ConfigError, InvalidOption, UnknownService, managed
from servicectx.request import config, durations

TOML = """
[tool.other]
servicectx = true

[tool.servicectx]
cache = "redis"
orders = {service = "postgres", dbname = "shop", setup = ["sql/schema.sql"], linger = "2h"}

[tool.servicectx.jobs]
service = "redis"
scope = "user"
keep_data = true
timeout = 5
settings = {maxmemory = "64mb"}
"""
CFG = """
[metadata]
name = 100%

[servicectx]
cache = redis
orders =
    service = postgres
    dbname = shop
    setup = sql/schema.sql
    linger = 2h
jobs =
    service = redis
    scope = user
    keep_data = true
    timeout = 5
    settings.maxmemory = 64mb
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "schema.sql").write_text("create table orders (id int);")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    return tmp_path


def write(project: Path, text: str, file: str = "pyproject.toml") -> None:
    (project / file).write_text(text)


@pytest.mark.parametrize(("file", "text"), [("pyproject.toml", TOML), ("setup.cfg", CFG)])
def test_both_files_say_the_same(project: Path, file: str, text: str) -> None:
    write(project, text, file)
    cache, orders, jobs = (managed(name)._request for name in ("cache", "orders", "jobs"))
    assert (cache.name, cache.service.name) == ("cache", "redis")
    assert (orders.name, orders.service.name, orders.options.dbname) == ("orders", "postgres", "shop")
    assert (orders.setup_files, orders.linger) == ([project / "sql" / "schema.sql"], 7200.0)
    assert (jobs.scope, jobs.keep_data, jobs.timeout) == ("user", True, 5.0)
    assert jobs.options.settings == {"maxmemory": "64mb"}
    assert {"cache", "orders", "jobs", "redis"} <= set(servicectx.service_names())


def test_the_same_key_as_when_it_is_written_out(project: Path) -> None:
    write(project, TOML)
    written = managed("postgres", name="orders", dbname="shop", setup=[project / "sql" / "schema.sql"])
    assert managed("orders").key == written.key
    assert managed("orders", dbname="other").key != written.key


def test_it_runs(project: Path) -> None:
    import psycopg

    write(project, TOML)
    with managed("orders", linger=0) as details, psycopg.connect(details.url) as connection:
        assert details.dbname == "shop"
        assert connection.execute("select count(*) from orders").fetchone() == (0,)


def test_arguments_and_the_environment_come_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, TOML)
    monkeypatch.setenv("SERVICECTX_LINGER", "3")
    monkeypatch.setenv("SERVICECTX_SCOPE", "mine")
    monkeypatch.setenv("SERVICECTX_KEEP_DATA", "0")
    assert managed("orders")._request.linger == 3.0
    assert managed("orders", linger=1)._request.linger == 1.0
    assert managed("jobs")._request.scope == "mine"
    assert not managed("jobs")._request.keep_data
    assert managed("orders", name="role")._request.name == "role"
    assert managed("orders", setup=print)._request.setup is print


def test_a_service_under_its_own_name(project: Path) -> None:
    write(project, '[tool.servicectx]\nredis = {settings = {maxmemory = "32mb"}}\n')
    assert managed("redis")._request.options.settings == {"maxmemory": "32mb"}
    assert managed("valkey")._request.options.settings == {}


def test_a_set_up_that_is_a_function(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "shop_of_a_test.py").write_text("def migrate(details): ...\n")
    monkeypatch.syspath_prepend(str(project))
    write(project, '[tool.servicectx]\norders = {service = "redis", setup = "shop_of_a_test:migrate"}\n')
    import shop_of_a_test  # type: ignore[import-not-found]

    assert managed("orders").key == managed("redis", name="orders", setup=shop_of_a_test.migrate).key
    write(project, '[tool.servicectx]\norders = {service = "redis", setup = "shop_of_a_test:missing"}\n')
    with pytest.raises(ConfigError, match=r"setup: shop_of_a_test:missing: .*missing"):
        managed("orders")


def test_the_scope_says_which_project(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    write(project, TOML)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        assert managed("orders", scope=f"project:{project}")._request.options.dbname == "shop"
        with pytest.raises(UnknownService):
            managed("orders")


@pytest.mark.parametrize(
    ("entry", "key", "problem"),
    [
        ('{service = "redis", settngs = {}}', "orders.settngs", "did you mean 'settings'"),
        (
            '{service = "redis", lingre = 3}',
            "orders.lingre",
            "unknown; did you mean 'linger'?; redis has: version, fl",
        ),
        ('{service = "redsi"}', "orders.service", "Did you mean 'redis'"),
        ("{service = 3}", "orders.service", "not the name of a service"),
        ("3", "orders", "write a table"),
        ('{service = "redis", linger = "soon"}', "orders.linger", "is not a number of seconds"),
        ('{service = "redis", timeout = true}', "orders.timeout", "is not a number of seconds"),
        ('{service = "redis", keep_data = "yes"}', "orders.keep_data", "is not true or false"),
        ('{service = "redis", scope = 1}', "orders.scope", "is not a text"),
        ('{service = "postgres", setup = 1}', "orders.setup", "is not a list of files"),
        ('{service = "postgres", setup = ["none.sql"]}', "orders.setup", "none.sql is not a file"),
        ('{service = "redis", setup = ["sql/schema.sql"]}', "orders.setup", "takes a callable, not files"),
        ('{service = "postgres", version = [16]}', "orders.version", "valid string"),
        ('{service = "postgres", snapshot = true}', "orders.snapshot", "none is given"),
    ],
)
def test_errors_name_file_and_key(project: Path, entry: str, key: str, problem: str) -> None:
    write(project, f"[tool.servicectx]\norders = {entry}\nfine = 'redis'\n")
    with pytest.raises(ConfigError) as raised:
        managed("orders")
    error = raised.value
    assert (error.path, error.key) == (str(project / "pyproject.toml"), f"tool.servicectx.{key}")
    assert problem in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert managed("fine")._request.service.name == "redis"


def test_what_the_caller_gave_is_not_blamed_on_the_file(project: Path) -> None:
    write(project, TOML)
    with pytest.raises(InvalidOption):
        managed("jobs", settings=3)  # type: ignore[call-overload]
    with pytest.raises(InvalidOption):
        managed("jobs", linger="x")


def test_files_that_cannot_be_read(project: Path) -> None:
    write(project, "[tool.servicectx\n")
    with pytest.raises(ConfigError, match=r"pyproject.toml: it is not TOML"):
        managed("redis")
    write(project, "")
    write(project, "[servicectx]\norders =\n    service = redis\n    nonsense\n", "setup.cfg")
    with pytest.raises(ConfigError, match=r"servicectx.orders: 'nonsense' is not written as key = value"):
        managed("redis")
    write(project, "[servicectx]\n[servicectx]\n", "setup.cfg")
    with pytest.raises(ConfigError, match="already exists"):
        managed("redis")
    write(project, CFG, "setup.cfg")
    write(project, TOML)
    with pytest.raises(ConfigError, match=r"also defined in pyproject.toml"):
        managed("redis")


def test_a_change_is_seen(project: Path) -> None:
    write(project, '[tool.servicectx]\nmine = "redis"\n')
    assert managed("mine")._request.service.name == "redis"
    write(project, '[tool.servicectx]\nmine = "postgres"\n')
    assert managed("mine")._request.service.name == "postgres"
    write(project, "")
    with pytest.raises(UnknownService):
        managed("mine")


def test_unknown_names_are_told_the_known_ones(project: Path) -> None:
    write(project, TOML)
    with pytest.raises(UnknownService, match="Did you mean 'orders'"):
        managed("order")


def test_a_directory_that_is_gone(project: Path) -> None:
    gone = project / "gone"
    gone.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(gone)
        gone.rmdir()
        assert managed("redis", scope="user")._request.scope == "user"


def test_without_a_section_nothing_is_parsed(project: Path) -> None:
    write(project, "this = is [ no TOML")
    parsed = {name: sys.modules.pop(name, None) for name in ("tomllib", "configparser")}
    try:
        config.find("redis")
        assert not {"tomllib", "configparser"} & sys.modules.keys()
    finally:
        sys.modules.update({name: module for name, module in parsed.items() if module is not None})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), (90, 90), (1.5, 1.5), ("1.5s", 1.5), ("5m", 300), ("5min", 300), ("2h", 7200), ("1d", 86400)],
)
def test_lengths_of_time(text: str | float, expected: float) -> None:
    assert durations.seconds(text) == expected
    assert durations.seconds("forever") == float("inf")


@pytest.mark.parametrize("text", ["", "h", "-1", "2 weeks", "1h30m", "nan", True])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of seconds"):
        durations.seconds(text)


def test_the_command_line_reads_it_too(project: Path) -> None:
    from tests.cli.command import cli

    write(project, TOML.replace('linger = "2h"', "linger = 0"))
    done = cli("run", "-q", "orders", "--", "sh", "-c", 'echo "$SERVICECTX_ORDERS_DETAILS"', cwd=project / "below")
    assert json.loads(done.stdout)["dbname"] == "shop"
    assert f"orders = postgres, from {project / 'pyproject.toml'}" in cli("list", cwd=project).stdout
    write(project, '[tool.servicectx]\norders = {service = "redis", nope = 1}\n')
    done = cli("up", "orders", cwd=project)
    assert (done.returncode, "tool.servicectx.orders.nope" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("pyproject.toml", "tool.servicetx"),
        ("pyproject.toml", "tool.service-ctx"),
        ("pyproject.toml", "tool.servicecxt.orders"),
        ("pyproject.toml", "servicectx"),
        ("setup.cfg", "servicetx"),
        ("setup.cfg", "tool:servicectx"),
    ],
)
def test_a_misspelt_table_is_not_ignored(project: Path, file: str, table: str) -> None:
    write(project, f'[metadata]\nname = "x"\n\n[{table}]\npostgres = "redis"\n', file)
    wanted = "[tool.servicectx]" if file == "pyproject.toml" else "[servicectx]"
    with pytest.raises(ConfigError) as raised:
        managed("redis")
    assert (raised.value.path, raised.value.key) == (str(project / file), table)
    assert f"did you mean {wanted}?" in str(raised.value)
    write(project, f'{wanted}\n[{table}]\npostgres = "redis"\n', file)  # the table of another program
    assert managed("redis")._request.service.name == "redis"


@pytest.mark.parametrize("table", ["tool.services", "tool.other.servicectx", "tool.service", "service", "tool.ctx"])
def test_tables_of_other_programs_are_none_of_ours(project: Path, table: str) -> None:
    write(project, f"[{table}]\nname = 3\n")
    assert managed("redis")._request.service.name == "redis"


@pytest.mark.parametrize("name", ["orders", "redis"])
def test_a_misspelt_service_is_named(project: Path, name: str) -> None:
    write(project, f'[tool.servicectx]\n{name} = {{servce = "postgres"}}\n')
    with pytest.raises(ConfigError, match=rf"tool.servicectx.{name}.servce: unknown; did you mean 'service'\?"):
        managed(name)


def test_what_is_no_file_is_not_read(project: Path) -> None:
    os.mkfifo(project / "pyproject.toml")
    (project / "setup.cfg").mkdir()
    assert managed("redis")._request.service.name == "redis"
    os.unlink(project / "pyproject.toml")
    (project / "pyproject.toml").symlink_to("/dev/zero")
    assert managed("redis")._request.service.name == "redis"


def test_a_gigabyte_is_not_read(project: Path) -> None:
    with open(project / "pyproject.toml", "wb") as file:
        file.truncate(2**30)
    with pytest.raises(ConfigError, match=r"pyproject.toml: it is larger than 16 MiB"):
        managed("redis")


def test_any_bytes_are_an_error_that_names_the_file(project: Path) -> None:
    for file, text in (
        ("pyproject.toml", b"[tool.servicectx]\nx = '\xff'\n"),
        ("setup.cfg", b"[servicectx]\nx = \xff\n"),
    ):
        (project / file).write_bytes(text)
        with pytest.raises(ConfigError, match=file):
            managed("redis")
        (project / file).unlink()
    (project / "pyproject.toml").write_bytes(b"[tool.servicetx\xff]\n\xff\0")
    with pytest.raises(ConfigError, match="did you mean"):
        managed("redis")
