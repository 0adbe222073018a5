"""`--env NAME=TEMPLATE` of `run` and `env`: variables that a program reads, from the details of services."""

import json
import sys
from pathlib import Path

import click
import pytest

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
        ("X={order.port}", "did you mean 'orders'"),
        ("X={redis.port}", "the services are: orders"),
        ("X={orders}", "write {SERVICE.FIELD}"),
        ("X={.port}", "write {SERVICE.FIELD}"),
        ("X={orders.port", "a single brace"),
        ("X=orders}", "a single brace"),
        ("X={orders.prot}", "orders has no field 'prot'; fields: async_sqlalchemy_url, dbname"),
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
