"""Reports: the header, the summary, and the log of a service during a failed test."""

import re
from pathlib import Path

import pytest

from servicectx import managed
from tests.integrations.pytest_.projects import Project

FAILING = {
    "conftest": """
        from servicectx_pytest import service_fixture

        orders = service_fixture("postgres", name="orders")
    """,
    "test_orders": """
        import psycopg

        def query(details, statement):
            with psycopg.connect(details.url) as connection:
                connection.execute(statement)

        def test_passes(orders):
            try:
                query(orders, "select from an_earlier_test")
            except psycopg.Error:
                pass

        def test_fails(orders, managed_redis):
            query(orders, "select from this_test")

        def test_of_something_else(managed_redis):
            assert False

        def test_of_nothing():
            assert False

        def test_requests_late(request):
            query(request.getfixturevalue("isolated_postgres"), "select from a_late_test")

        def test_factory(managed_service):
            query(managed_service("postgres", name="by hand"), "select from by_hand")

        def test_chatty(orders):
            for number in range(200):
                try:
                    query(orders, f"select from chatty_{number}")
                except psycopg.Error:
                    pass
            assert False
    """,
}


def parts(output: str) -> dict[str, str]:
    """The reports of the failures, by the names of the tests."""
    found, name = {"": ""}, ""
    for line in output.splitlines():
        if line.startswith("____") and " test_" in line:
            name = line.strip("_ ")
        elif line.startswith("====="):
            name = ""
        found[name] = found.get(name, "") + line + "\n"
    return found


@pytest.mark.parametrize("way", ["-n0", "-n1"])
def test_the_log_of_the_time_of_a_failing_test(tmp_path: Path, way: str) -> None:
    run = Project(tmp_path, **FAILING).run(way, "--tb=short", status=1)
    assert "6 failed, 1 passed" in run.output
    failures = parts(run.output)
    assert "-- service postgres 'orders' --" in failures["test_fails"]
    assert "ERROR:  " in failures["test_fails"]
    assert "this_test" in failures["test_fails"].partition("-- service")[2]
    assert "an_earlier_test" not in run.output.partition("= FAILURES")[2]
    assert "service redis" not in failures["test_fails"], "redis wrote nothing"
    assert "-- service" not in failures["test_of_something_else"]
    assert "-- service" not in failures["test_of_nothing"]
    assert "a_late_test" in failures["test_requests_late"].partition("-- service postgres --")[2]
    assert "by_hand" in failures["test_factory"].partition("-- service postgres 'by hand' --")[2]
    section = failures["test_chatty"].partition("-- service postgres 'orders' --")[2]
    assert "chatty_199" in section
    assert "chatty_0" not in section
    assert section.splitlines()[1] == "..."
    assert len(section) < 20_000


def test_services_from_outside_are_named_and_left_alone(home: Path, tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_cache="""
            from helping import use

            def test_cache(managed_redis):
                assert managed_redis.external
                use(managed_redis)
        """,
    )
    for way in ("-n0", "-n1"):
        with managed("redis") as outside:
            path = str(outside.write(tmp_path / "redis.json"))
            run = project.start(way, SERVICECTX_REDIS_DETAILS=path, TEST_VAULT_DETAILS='{"token": "a secret"}').wait()
        assert run.process.returncode == 0, run.output
        assert f"services from outside: SERVICECTX_REDIS_DETAILS={path}, TEST_VAULT_DETAILS\n" in run.output
        assert "redis: from outside" in run.output
        assert "a secret" not in run.output
        assert run.notes("use")[0]["url"] == outside.url
    run = project.run("-n2", status=1, SERVICECTX_REDIS_DETAILS="/nowhere.json")
    assert "DetailsError: SERVICECTX_REDIS_DETAILS: /nowhere.json: there is no such file" in run.output


def test_the_summary(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_cache="""
            def test_cache(managed_redis, managed_service):
                managed_service("redis", name="other")
        """,
        test_nothing="""
            def test_nothing():
                pass
        """,
    )
    run = project.run("test_cache.py")
    summary = run.output.partition("= services =")[2].splitlines()
    assert re.fullmatch(r"redis: started in \d+\.\d\d s", summary[1])
    assert re.fullmatch(r"redis 'other': started in \d+\.\d\d s", summary[2])
    assert "services" not in project.run("test_nothing.py").output
    assert "services" not in project.run("test_cache.py", "-q").output


def test_an_error_of_the_library_is_shown_without_its_insides(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_cache="""
            def test_vault(managed_vault):
                pass

            def test_typo(managed_service):
                managed_service("redsi")
        """,
    )
    run = project.run(status=1)
    assert "UnknownService: no service is called 'redsi'. Did you mean 'redis'?" in run.output
    assert "servicectx/services" not in run.output
    assert "servicectx/_api" not in run.output
