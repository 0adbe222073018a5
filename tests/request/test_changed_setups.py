"""A lingering instance of yesterday is not used with the set-up of today: real servers, a process for each run."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servicectx import PostgresDetails, isolated, managed
from servicectx.testing import alembic_setup, django_setup
from tests.cli.command import cli

STEPS = """
from pathlib import Path
import psycopg, redis

TABLE = "notes"

def statement():
    return f"create table {TABLE} (text text)"

def migrate(pg):
    with psycopg.connect(pg.url) as connection:
        connection.execute(statement())
        for file in sorted(Path("migrations").glob("*.sql")):
            connection.execute(file.read_text())

def fill(details):
    with redis.Redis.from_url(details.url) as client:
        client.set("value", VALUE)

VALUE = 1
"""
POSTGRES = """
import json, psycopg, steps
from servicectx import isolated, managed
def columns(details):
    query = "select table_name || '.' || column_name from information_schema.columns where table_schema = 'public'"
    with psycopg.connect(details.url) as connection:
        return sorted(row[0] for row in connection.execute(query))
with managed("postgres", setup=[steps.migrate, "extra.sql"], depends=["migrations/**"], linger=600) as pg:
    print(json.dumps({"port": pg.port, "found": columns(pg), "setup": pg.setup}))
"""
ISOLATED = (
    POSTGRES.partition("with managed")[0]
    + """
with managed("postgres", linger=600) as pg:
    with isolated(pg, setup=[steps.migrate, "extra.sql"], depends="migrations") as mine:
        print(json.dumps({"port": pg.port, "found": columns(mine), "setup": pg.setup}))
"""
)
REDIS = """
import json, redis, steps
from servicectx import managed
with managed("redis", setup=steps.fill, linger=600) as details, redis.Redis.from_url(details.url) as client:
    print(json.dumps({"port": details.port, "found": client.get("value").decode(), "setup": details.setup}))
"""


@pytest.fixture
def project(tmp_path: Path, home: Path) -> Iterator[Path]:
    root = tmp_path / "project"
    (root / "migrations").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "steps.py").write_text(STEPS)
    (root / "extra.sql").write_text("create table extra (text text);\n")
    (root / "migrations" / "0001.sql").write_text("alter table notes add column first int")
    yield root
    done = cli("down", "--all", "--force", cwd=root)
    assert done.returncode == 0, done.stderr


def use(program: str, project: Path, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_changed_migration_or_helper_starts_another_postgres(project: Path) -> None:
    first = use(POSTGRES, project, PYTHONHASHSEED="1")
    assert first["found"] == ["extra.text", "notes.first", "notes.text"]
    assert re.fullmatch(
        r"steps:migrate, extra\.sql \([0-9a-f]{8}\), ran \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["setup"]
    )
    assert use(POSTGRES, project, PYTHONHASHSEED="2") == first, "the same set-up joins"

    (project / "migrations" / "0002.sql").write_text("alter table notes add column second int")
    second = use(POSTGRES, project)
    assert second["found"] == ["extra.text", "notes.first", "notes.second", "notes.text"]
    assert second["port"] != first["port"]

    (project / "steps.py").write_text(STEPS.replace("(text text)", "(body text)"))
    third = use(POSTGRES, project)
    assert third["found"] == ["extra.text", "notes.body", "notes.first", "notes.second"]

    (project / "extra.sql").write_text("create table another (text text);\n")
    fourth = use(POSTGRES, project)
    assert fourth["found"][0] == "another.text"
    assert len({one["port"] for one in (first, second, third, fourth)}) == 4

    rows = json.loads(cli("status", "--json", cwd=project).stdout)
    hashes = {row["setup"]["hash"] for row in rows}
    assert hashes == {one["setup"].partition("(")[2][:8] for one in (first, second, third, fourth)}
    assert all(row["setup"]["names"] == ["steps:migrate", "extra.sql"] for row in rows)
    assert all(row["setup"]["ran"] > 0 and not row["setup"]["restored"] for row in rows)
    plain = cli("status", cwd=project).stdout
    assert "SET-UP" in plain
    assert all(re.search(rf"steps:migrate, extra\.sql \({hash}\), \d+[sm]\S* ago", plain) for hash in hashes)
    details = json.loads(cli("details", cwd=project).stdout)
    assert re.search(r"\([0-9a-f]{8}\), ran ", json.dumps(details))


def test_a_changed_migration_or_helper_makes_another_template(project: Path) -> None:
    first = use(ISOLATED, project)
    assert first["found"] == ["extra.text", "notes.first", "notes.text"]
    assert first["setup"] is None
    (project / "migrations" / "0002.sql").write_text("alter table notes add column second int")
    second = use(ISOLATED, project)
    assert second["port"] == first["port"]
    assert second["found"] == ["extra.text", "notes.first", "notes.second", "notes.text"]
    (project / "steps.py").write_text(STEPS.replace("(text text)", "(body text)"))
    assert use(ISOLATED, project)["found"] == ["extra.text", "notes.body", "notes.first", "notes.second"]


def test_a_changed_constant_starts_another_redis(project: Path) -> None:
    first = use(REDIS, project)
    (project / "steps.py").write_text(STEPS.replace("VALUE = 1", "VALUE = 2") + "\n# a comment\n")
    second = use(REDIS, project)
    assert (first["found"], second["found"]) == ("1", "2")
    assert first["port"] != second["port"]
    (project / "steps.py").write_text(STEPS + "\n# another comment\n")
    assert use(REDIS, project) == first


def test_up_and_a_program_have_the_same_key(project: Path) -> None:
    arguments = ("redis", "--set", "redis.setup=steps:fill", "--set", "redis.depends=migrations/*.sql")
    done = cli("up", "-q", *arguments, cwd=project)
    assert done.returncode == 0, done.stderr
    program = REDIS.replace("setup=steps.fill", 'setup=steps.fill, depends="migrations/*.sql"')
    port = json.loads(cli("details", "redis", cwd=project).stdout)["port"]
    assert use(program, project)["port"] == port
    (project / "migrations" / "0001.sql").write_text("select 1")
    assert use(program, project)["port"] != port
    failed = cli("up", "redis", "--set", "redis.setup=steps:fill", "--set", "redis.depends=*.xml", cwd=project)
    assert failed.returncode != 0
    assert f"no file matches '*.xml'; searched: {project}" in failed.stderr


def test_a_restored_snapshot_names_the_set_up_and_its_time(project: Path, tmp_path: Path) -> None:
    program = POSTGRES.replace("linger=600", 'snapshot="1"')
    environment = {"SERVICECTX_CACHE": str(tmp_path / "cache")}
    first, second = (use(program, project, **environment) for _ in range(2))
    assert first["found"] == second["found"]
    assert first["setup"].partition(", ran")[0] == second["setup"].partition(", ran")[0]


EXAMPLES = Path(__file__).parents[2] / "examples"
THIRD = '''
"""Notes of customers."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"

def upgrade():
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))
'''


def tables(details: PostgresDetails) -> set[str]:
    with psycopg.connect(details.url) as connection:
        return {row[0] for row in connection.execute("select tablename from pg_tables where schemaname = 'public'")}


def test_alembic_s_migrations_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project_copy("sqlalchemy_alembic", tmp_path, monkeypatch)
    with managed("postgres", setup=alembic_setup()) as old:
        assert "notes" not in tables(old)
        (root / "migrations" / "versions" / "0003_notes.py").write_text(THIRD)
        with managed("postgres", setup=alembic_setup("alembic.ini")) as new:
            assert new.port != old.port
            assert "notes" in tables(new)


def test_each_directory_of_versions_of_alembic_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project_copy("sqlalchemy_alembic", tmp_path, monkeypatch)
    (root / "more").mkdir()
    places = "version_locations = %(here)s/migrations/versions:%(here)s/more\npath_separator = :\n"
    (root / "alembic.ini").write_text((root / "alembic.ini").read_text() + places)
    files = [root / "migrations" / "versions" / "b0.py", root / "more" / "b1.py"]
    for number, file in enumerate(files):
        file.write_text(BRANCH.format(number=number))
    keys = {managed("postgres", setup=alembic_setup()).key for _ in files}
    for file in files:
        file.write_text(f"{file.read_text()}\nLATER = 1\n")
        keys.add(managed("postgres", setup=alembic_setup()).key)
    assert len(keys) == 3


BRANCH = """
revision, down_revision, branch_labels = "b{number}", None, ("branch{number}",)

def upgrade(): ...
"""


def project_copy(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of an example, as the current project."""
    root = tmp_path / name
    shutil.copytree(EXAMPLES / name, root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    return root


def test_migrations_change_no_other_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose settings do not read what the set-up gives, but name the developer's own database."""
    with managed("postgres") as own, isolated(own) as instance:
        django = project_copy("django_pytest", tmp_path, monkeypatch) / "project" / "settings.py"
        for variable, value in own.env().items():
            django.write_text(django.read_text().replace(f'os.environ.get("{variable}", "")', repr(value)))
        problem = f"nothing was migrated: .*'{own.dbname}', and this instance is .*'{instance.dbname}'"
        with pytest.raises(RuntimeError, match=problem):
            django_setup("project.settings")(instance)
        root = django.parents[1]
        text = django.read_text()
        (root / "shop" / "migrations").rename(root / "changes")
        django.write_text(text + "MIGRATION_MODULES = {'shop': 'changes'}\n")
        (root / "other" / "migrations").mkdir(parents=True)
        (root / "other" / "migrations" / "0001.py").touch()  # the default pattern has a match
        with pytest.raises(RuntimeError) as caught:
            django_setup("project.settings")(instance)
        assert "nothing was migrated: no pattern of depends=['**/migrations'] matches these migrat" in str(caught.value)
        assert f"\n  app shop: {root}/changes\nadd each directory, relative to {root}: django_" in str(caught.value)
        with pytest.raises(RuntimeError, match=problem):
            django_setup("project.settings", depends=["changes/0*.py"])(instance)
        (root / "env").mkdir()
        (root / "env" / "pyvenv.cfg").touch()
        (root / "changes").rename(root / "env" / "changes")
        django.write_text(text + "MIGRATION_MODULES = {'shop': 'env.changes'}\n")
        with pytest.raises(RuntimeError, match=problem):  # a package of an environment has a version
            django_setup("project.settings")(instance)
        (root / "other" / "migrations" / "0001.py").unlink()
        with pytest.raises(RuntimeError, match=problem):  # the patterns are those of another project
            django_setup("project.settings")(instance)
        alembic = project_copy("sqlalchemy_alembic", tmp_path, monkeypatch) / "migrations" / "env.py"
        start, usual = (
            f"context.config.set_main_option('sqlalchemy.url', {own.sqlalchemy_url!r})\n",
            alembic.read_text(),
        )
        foreign = usual.replace("\n\n", f"\n\n{start}\n\n", 1)
        changes = foreign.replace(
            "    context.conf", "    connection.exec_driver_sql('create table x ()')\n    context.conf"
        )
        silent = "import contextlib\nwith contextlib.suppress(Exception):\n" + textwrap.indent(foreign, "    ")
        creator = f"lambda: psycopg.connect({own.url!r})"
        other = f"import psycopg\ncreate_engine = lambda _, **options: old(_, creator={creator})\n"
        unknown = usual.replace("import create_engine, pool\n", f"import create_engine as old, pool\n{other}")
        alembic.write_text(unknown)
        with pytest.raises(RuntimeError, match=r"env\.py of Alembic uses a connection with an unknown target"):
            alembic_setup()(instance)
        for text in (foreign, changes, silent):
            alembic.write_text(text)
            with pytest.raises(RuntimeError, match=problem):
                alembic_setup()(instance)
        alembic.write_text("")
        with pytest.raises(RuntimeError, match=r"env\.py of Alembic makes no connection"):
            alembic_setup()(instance)
        assert not tables(own)
        assert not tables(instance)


DJANGO = """
import json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
import django
django.setup()
from django.conf import settings
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("select name from django_migrations where app = 'shop' order by name")
    names = [row[0] for row in cursor.fetchall()]
connection.close()
print(json.dumps({"port": int(settings.DATABASES["default"]["PORT"]), "found": names}))
"""
SECOND = """
from django.db import migrations
class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunSQL("create table notes (text text)")]
"""


@pytest.fixture
def shop(tmp_path: Path, home: Path) -> Iterator[Path]:
    root = tmp_path / "shop"
    shutil.copytree(EXAMPLES / "django_shop", root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pyproject.toml").touch()
    settings = root / "project" / "settings.py"
    text = settings.read_text()
    text = text.replace(
        'managed("postgres", name="shop")',
        'managed("postgres", name="shop", setup=django_setup("project.settings"), linger=600)',
    )
    settings.write_text("from servicectx.testing import django_setup\n" + text)
    yield root
    done = cli("down", "--all", "--force", cwd=root)
    assert done.returncode == 0, done.stderr


def test_django_s_migrations_are_found(shop: Path) -> None:
    first = use(DJANGO, shop)
    assert first["found"] == ["0001_initial"]
    assert use(DJANGO, shop) == first
    (shop / "shop" / "migrations" / "0002_notes.py").write_text(SECOND)
    second = use(DJANGO, shop)
    assert second["found"] == ["0001_initial", "0002_notes"]
    assert second["port"] != first["port"]
    (shop / "shop" / "migrations" / "0003_bad.py").write_text(SECOND.replace("create table", "create tabel"))
    program = """
import servicectx, sys
try:
    import project.settings
except servicectx.SetupFailed as error:
    print(repr(error.problem)[:20000])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=shop, capture_output=True, text=True)
    assert "django migrate ended with status 1" in done.stdout, done.stderr
    assert "0003_bad" in done.stdout
