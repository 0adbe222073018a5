"""A fixture with several versions of a server: one run of each test for each version, and missing versions by name."""

from pathlib import Path

import pytest
from servicectx_pytest import service_fixture

from servicectx import managed
from tests.integrations.pytest_.projects import Project

TESTS = """
    import psycopg
    from servicectx_pytest import service_fixture

    pg = service_fixture("postgres", name="orders", versions=["17", 18, {missing}])
    database = service_fixture("postgres", name="orders", versions=["17", 18, {missing}], isolated=True)


    def version(details):
        with psycopg.connect(details.url) as connection:
            return connection.execute("show server_version").fetchone()[0].partition(".")[0]


    def test_whole(pg, request):
        assert f"[{{version(pg)}}]" in request.node.name


    def test_part(database, request):
        assert f"[{{version(database)}}]" in request.node.name
        assert database.dbname != "postgres"
"""


def test_a_missing_version_is_skipped_by_name(tmp_path: Path) -> None:
    run = Project(tmp_path, test_orders=TESTS.format(missing="'9'")).run("-rs", "-v")
    assert "4 passed, 2 skipped" in run.output
    assert "postgres 9 'orders': postgres: no server here has version 9" in run.output
    assert "SERVICECTX_REQUIRE_SERVERS=1 makes this an error" in run.output
    assert "postgres 17 'orders': started" in run.output
    assert "postgres 18 'orders': started" in run.output


def test_a_missing_version_is_an_error_where_servers_are_required(tmp_path: Path) -> None:
    run = Project(tmp_path, test_orders=TESTS.format(missing="'9'")).run("-v", status=1, SERVICECTX_REQUIRE_SERVERS="1")
    assert "4 passed, 2 errors" in run.output
    assert "apt-get install postgresql-9" in run.output


def test_an_external_server_has_one_version(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_HOME", str(tmp_path / "elsewhere"))
    with managed("redis") as redis:
        monkeypatch.setenv("SERVICECTX_HOME", str(home))
        major = str(redis.version).partition(".")[0]
        tests = f"""
            from servicectx_pytest import service_fixture

            cache = service_fixture("redis", versions=["{major}", "1"])


            def test_it(cache):
                assert cache.external
        """
        project = Project(tmp_path / "project", test_cache=tests)
        run = project.run("-rs", SERVICECTX_REDIS_DETAILS=redis.model_dump_json())
    assert "1 passed, 1 skipped" in run.output
    assert f"the server has version {redis.version}, and version 1 is asked" in run.output


def test_version_and_versions_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="takes versions= or version=, not both"):
        service_fixture("postgres", version="17", versions=["18"])
