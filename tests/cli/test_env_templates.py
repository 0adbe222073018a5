"""`--env NAME=TEMPLATE` of `run` and `env`: variables that a program reads, from the details of services."""

import ast
import json
import sys
from pathlib import Path

import click
import pytest

import servicectx
from servicectx import PostgresDetails
from servicectx.cli import env_templates
from tests.cli.command import cli
from tests.leftovers import files

DETAILS = PostgresDetails(service="postgres", name="orders", host="h", port=7, user="u", password="p", dbname="d")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("X={orders.port}", "7"),
        ("X=a {orders.user}:{orders.dbname} b", "a u:d b"),
        ("X={{{orders.host}}}", "{h}"),
        ("X=", ""),
        ("X={orders.version}", ""),
        ("X=plain=text", "plain=text"),
        ("X={orders.sqlalchemy_url}", "postgresql+psycopg://u:p@h:7/d"),
    ],
)
def test_a_template_is_rendered(template: str, value: str) -> None:
    assert env_templates.rendered(env_templates.parse([template], ["orders"]), [DETAILS]) == {"X": value}


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("X", "write NAME=TEMPLATE"),
        ("2X=a", "write NAME=TEMPLATE"),
        ("X={order.port}", "did you mean 'orders'?; the services are: orders"),
        ("X={redis.port}", "the services are: orders"),
        ("X={orders}", "write {SERVICE.FIELD}"),
        ("X={.port}", "write {SERVICE.FIELD}"),
        ("X={orders.port", "a single brace"),
        ("X=orders}", "a single brace"),
        ("X={orders.prot}", "orders has no field 'prot'; did you mean 'port'?; fields: async_sqlalchemy_url, dbname"),
        ("X={orders.__class__}", "has no field '__class__'"),
        ("X={orders.model_dump}", "has no field 'model_dump'"),
    ],
)
def test_a_mistake_is_named(template: str, problem: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        env_templates.rendered(env_templates.parse([template], ["orders"]), [DETAILS])
    assert problem in refused.value.message


def test_the_command_gets_the_variable(project: Path, home: Path) -> None:
    code = "import json, os; print(json.dumps([os.environ['CACHE'], os.environ['REDIS_URL'], os.environ['REDIS_DB']]))"
    options = ["--env", "CACHE={redis.url}?x", "--env", "REDIS_DB={redis.db}"]
    done = cli("run", "-q", "redis", *options, "--", sys.executable, "-c", code, cwd=project)
    assert done.returncode == 0, done.stderr
    mine, url, database = json.loads(done.stdout)
    assert (mine, database) == (f"{url}?x", "0")
    assert not files(home)


def test_a_mistake_starts_nothing(project: Path, home: Path) -> None:
    done = cli("run", "redis", "--env", "CACHE={redsi.url}", "--", "true", cwd=project)
    assert done.returncode == 2
    assert "did you mean 'redis'?" in done.stderr
    assert not files(home)


def test_env_prints_the_variable(project: Path) -> None:
    assert cli("up", "-q", "redis", cwd=project).returncode == 0
    try:
        done = cli("env", "--json", "--env", "CACHE={redis.host}:{redis.port}", cwd=project)
        found = json.loads(done.stdout)
        assert found["CACHE"] in found["REDIS_URL"]
    finally:
        assert cli("down", "--all", cwd=project).returncode == 0


# -- the table `env` of a project --------------------------------------------------------------------------------

TOML = """
[tool.servicectx]
cache = "redis"

[tool.servicectx.env]
CACHE = "{cache.url}?x"
DSN = "{postgres.url}"
PLAIN = "a={{b}}"
"""
CFG = """
[servicectx]
cache = redis
env =
    CACHE = {cache.url}?x
    DSN = {postgres.url}
    PLAIN = a={{b}}
"""


@pytest.mark.parametrize(("file", "text"), [("pyproject.toml", TOML), ("setup.cfg", CFG)])
def test_the_project_adds_variables(project: Path, file: str, text: str) -> None:
    (project / file).write_text(text)
    names = "import os; print([os.environ.get(name) for name in ('CACHE', 'CACHE_URL', 'DSN', 'PLAIN')])"
    done = cli("run", "cache", "--env", "PLAIN=mine", "--", sys.executable, "-c", names, cwd=project)
    cache, url, dsn, plain = ast.literal_eval(done.stdout)
    assert (cache, dsn, plain) == (f"{url}?x", None, "mine")
    assert f"servicectx: DSN of {file} is not set: it needs postgres" in done.stderr
    try:
        assert cli("up", "-q", "cache", cwd=project).returncode == 0
        done = cli("env", "--json", cwd=project)
        found = json.loads(done.stdout)
        assert (found["CACHE"], found["PLAIN"], "DSN" in found) == (f"{found['CACHE_URL']}?x", "a={b}", False)
        assert f"DSN of {file} is not set: it needs postgres" in done.stderr
    finally:
        cli("down", cwd=project)


@pytest.mark.parametrize(
    ("table", "key", "problem"),
    [
        ('env = {X = "{cahce.url}"}', "env.X", "'cahce' is not among the services; did you mean 'cache'?"),
        ('env = {X = "{nothing.url}"}', "env.X", "the services are: asgi, "),
        ('env = {X = "{cache.url"}', "env.X", "a single brace"),
        ('env = {X = "{cache}"}', "env.X", "write {SERVICE.FIELD}"),
        ("env = {X = 1}", "env.X", "1 is not a text"),
        ('env = {"X-Y" = "a"}', "env.X-Y", "'X-Y' is not a name of a variable"),
        ('env = "redis"', "env", "write a table of variables"),
        ('env = {service = "redis"}', "env", "a service cannot have the name env"),
    ],
)
def test_a_mistake_in_the_table_starts_nothing(project: Path, home: Path, table: str, key: str, problem: str) -> None:
    (project / "pyproject.toml").write_text(f'[tool.servicectx]\ncache = "redis"\n{table}\n')
    done = cli("run", "cache", "--", "true", cwd=project)
    assert done.returncode == 125
    assert f"pyproject.toml: tool.servicectx.{key}: " in done.stderr
    assert problem in done.stderr
    assert not files(home)


def test_an_unknown_field_in_the_table_is_named(project: Path, home: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.servicectx]\nenv = {X = "{redis.passwort}"}\n')
    done = cli("run", "-q", "redis", "--", "true", cwd=project)
    assert done.returncode == 125
    assert "tool.servicectx.env.X: redis has no field 'passwort'; did you mean 'password'?; fields: db, " in done.stderr
    assert not files(home)


def test_the_table_is_not_a_service(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "pyproject.toml").write_text(TOML)
    monkeypatch.chdir(project)
    assert "env" not in servicectx.service_names()
    with pytest.raises(servicectx.UnknownService):
        servicectx.managed("env")
