"""What a run of pytest reports about set-ups, and `depends` of fixtures."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import cli
from tests.integrations.runs import Run

CONFTEST = """
import psycopg, redis
from pathlib import Path
from servicectx_pytest import service_fixture

def fill(details):
    with redis.Redis.from_url(details.url) as client:
        client.set("value", 1)

def schema(pg):
    with psycopg.connect(pg.url) as connection:
        for file in sorted(Path("migrations").glob("*.sql")):
            connection.execute(file.read_text())

cache = service_fixture("redis", name="cache", setup=fill, depends="migrations")
mine = service_fixture("postgres", isolated=schema, depends="migrations/*.sql")
both = service_fixture("postgres", name="both", setup=schema, isolated=[schema], depends="migrations/*.sql")
"""
TESTS = """
import psycopg

def test_cache(cache):
    assert cache.setup.startswith("conftest:fill (")
"""
DATABASE = """
import psycopg

def test_columns(mine):
    with psycopg.connect(mine.url) as connection:
        query = "select column_name from information_schema.columns where table_name = 'notes' order by 1"
        print([row[0] for row in connection.execute(query)])
    assert mine.setup is None
"""


@pytest.fixture
def project(place: Path, home: Path) -> Iterator[Path]:
    (place / "migrations").mkdir()
    (place / "migrations" / "0001.sql").write_text("create table notes (first int)")
    (place / "conftest.py").write_text(CONFTEST)
    (place / "test_cache.py").write_text(TESTS)
    (place / "test_database.py").write_text(DATABASE)
    (place / "pyproject.toml").touch()
    yield place
    done = cli("down", "--all", "--force", cwd=place)
    assert done.returncode == 0, done.stderr


def output(project: Path, arguments: str) -> str:
    run = Run(project, f"python -m pytest -p no:cacheprovider -p no:asyncio {arguments}").wait()
    assert run.process.returncode == 0, run.output
    return run.output


def test_header_and_summary_name_the_set_up(project: Path) -> None:
    first = output(project, "--servicectx-linger 600 test_cache.py")
    assert "service that runs" not in first
    line = re.search(r"redis 'cache': started in .* s; (set-up conftest:fill \([0-9a-f]{8}\), ran \S+Z)\n", first)
    assert line, first
    second = output(project, "--servicectx-linger 600 test_cache.py")
    assert f"service that runs: redis 'cache': {line[1]}\n" in second
    assert re.search(rf"redis 'cache': joined in .* s; {re.escape(line[1])}\n", second), second
    (project / "migrations" / "0001.sql").write_text("create table notes (other int)")
    third = output(project, "--servicectx-linger 600 test_cache.py")
    assert "redis 'cache': started in" in third
    assert line[1] not in third.partition("= services =")[2]
    assert "service that runs" not in output(project, "test_cache.py"), "no other run joins services of a run"


def test_depends_belongs_to_the_set_ups_of_isolated(project: Path) -> None:
    first = output(project, "--servicectx-linger 600 -s test_database.py")
    assert "['first']" in first
    (project / "migrations" / "0002.sql").write_text("alter table notes add column second int")
    second = output(project, "--servicectx-linger 600 -s test_database.py")
    assert "['first', 'second']" in second
    assert "postgres: joined in" in second
