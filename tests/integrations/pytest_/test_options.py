"""Options: scope, linger, kept data."""

import os
import re
import shutil
import time
from pathlib import Path

import psycopg
import pytest

from servicectx.client.inventory import running
from tests.integrations.pytest_.projects import INI, Project
from tests.integrations.runs import instances
from tests.leftovers import end, wait_for_none

CACHE = {
    "test_cache": """
        import pytest
        from helping import use

        @pytest.mark.parametrize("number", range(2))
        def test_cache(managed_redis, number):
            use(managed_redis)
    """,
    "test_meeting": """
        from helping import note, use, wait_for

        def test_meeting(managed_redis):
            note("here")
            wait_for("here", 2)
            use(managed_redis)
    """,
}


def test_runs_with_the_same_scope_share(tmp_path: Path) -> None:
    project = Project(tmp_path, **CACHE)
    words = ("test_meeting.py", "--servicectx-scope=ours")
    one = project.start(*words)
    other = project.start(*words, "-n1", JOURNAL=str(one.journal))
    for run in (one, other):
        run.wait()
    for run in (one, other):
        run.end()
        assert run.process.returncode == 0, run.output
    assert len(one.notes("use")) == 2
    assert len(instances(one.notes("use"), "redis")) == 1


@pytest.mark.parametrize("how", ["command line", "ini", "environment"])
def test_with_linger_the_next_run_of_the_project_finds_it_warm(home: Path, tmp_path: Path, how: str) -> None:
    project = Project(tmp_path, **CACHE)
    words = ["test_cache.py"]
    environment = {}
    if how == "ini":
        (tmp_path / "pytest.ini").write_text(f"{INI}servicectx_linger = 60\n")
    elif how == "command line":
        words.append("--servicectx-linger=60")
    else:
        environment["SERVICECTX_LINGER"] = "60"
    first = project.start(*words, "-n2", **environment).wait()
    second = project.start(*words, **environment).wait()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper/test_moves.py").write_text(
        "from helping import use\n"
        "def test_moves(monkeypatch, request):\n"
        "    monkeypatch.chdir('/')\n"
        "    use(request.getfixturevalue('managed_redis'))\n"
    )
    third = project.start("deeper", *words[1:], **environment).wait()
    for run in (first, second, third):
        assert run.process.returncode == 0, run.output
    seen = [instances(run.notes("use"), "redis") for run in (first, second, third)]
    assert len(seen[0]) == 1
    assert seen[0] == seen[1] == seen[2]
    assert "redis: joined in" in second.output
    own_way = project.start(*words, "--servicectx-scope=run", "--servicectx-linger=0", **environment).wait()
    assert instances(own_way.notes("use"), "redis") != seen[0]
    end(home)  # instead of waiting; the next test checks the end by itself
    shutil.rmtree(home)
    home.mkdir()


@pytest.mark.parametrize("way", ["-n0", "-n2"])
def test_kept_data_are_named_in_the_summary(home: Path, tmp_path: Path, way: str) -> None:
    project = Project(
        tmp_path,
        test_orders="""
            import psycopg

            def test_orders(managed_postgres):
                with psycopg.connect(managed_postgres.url) as connection:
                    connection.execute("create table orders ()")
        """,
    )
    run = project.start(way, "--servicectx-keep-data").wait()
    assert run.process.returncode == 0, run.output
    (kept,) = re.findall(r"the data of postgres are kept; open them with: servicectx open (\S+)", run.output)
    assert (Path(kept) / "service.log").exists()
    shutil.rmtree(kept)
    assert not wait_for_none(home, 2)


@pytest.mark.parametrize("how", ["command line", "ini"])
@pytest.mark.parametrize("way", ["-n0", "-n2"])
def test_data_live_where_the_run_says(run_directory: Path, tmp_path: Path, how: str, way: str) -> None:
    project = Project(
        tmp_path,
        test_place="""
            import os
            import pytest

            @pytest.mark.parametrize("number", range(2))
            def test_place(managed_redis, monkeypatch, number):
                monkeypatch.chdir("/")
                (data,) = os.listdir(os.environ["PLACE"])
        """,
    )
    place = run_directory / f"place-{os.getpid()}"
    place.mkdir(mode=0o711)
    relative = os.path.relpath(place, tmp_path)
    if how == "ini":
        (tmp_path / "pytest.ini").write_text(f"{INI}servicectx_storage = {relative}\n")
    try:
        project.run(way, *([f"--servicectx-storage={relative}"] if how != "ini" else []), PLACE=str(place))
        assert list(place.iterdir()) == []
    finally:
        shutil.rmtree(place)


def test_an_option_that_makes_no_sense_is_refused_at_once(tmp_path: Path) -> None:
    project = Project(tmp_path, **CACHE)
    run = project.run("--servicectx-linger=soon", status=4)
    assert "servicectx linger: 'soon' is not a number of seconds, such as 1.5, or a duration" in run.output
    assert "Traceback" not in run.output


def test_lingering_ends_by_itself(home: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    run = Project(tmp_path, **CACHE).start("test_cache.py", "--servicectx-linger=1").wait()
    assert run.process.returncode == 0, run.output
    assert not wait_for_none(home, 10)
    assert time.monotonic() - began > 1


KEEPING = {
    "conftest": """
        import psycopg
        from servicectx_pytest import service_fixture

        def fill(pg):
            with psycopg.connect(pg.url) as connection:
                connection.execute("create table found (what text)")

        orders_db = service_fixture("postgres", isolated=fill)
    """,
    "test_orders": """
        import psycopg
        import pytest

        def note(details, what):
            with psycopg.connect(details.url) as connection:
                connection.execute("create table if not exists found (what text)")
                connection.execute("insert into found values (%s)", [what])

        def test_passes(orders_db, isolated_postgres):
            note(orders_db, "passed")

        def test_fails(orders_db):
            note(orders_db, "own fixture")
            assert False

        @pytest.fixture
        def broken(isolated_postgres):
            note(isolated_postgres, "in set-up")
            raise LookupError

        def test_fails_in_its_set_up(broken):
            pass

        def test_fails_too(isolated_postgres):
            note(isolated_postgres, "ready fixture")
            assert False
    """,
}


@pytest.mark.parametrize("way", ["alone", "workers", "forked", "ini"])
def test_databases_of_failed_tests_are_kept_where_that_is_wished(home: Path, tmp_path: Path, way: str) -> None:
    project = Project(tmp_path, **KEEPING)
    if way == "ini":
        (tmp_path / "pytest.ini").write_text(f"{INI}servicectx_keep_failed = true\n")
    words = {"alone": (), "workers": ("-n2",), "forked": ("--forked",), "ini": ()}[way]
    run = project.start(*words, *(() if way == "ini" else ("--servicectx-keep-failed",))).wait()
    try:
        assert "1 passed" in run.output, run.output
        urls = set(re.findall(r"psql (postgresql://\S+)", run.output))
        found = set()
        for url in urls:
            with psycopg.connect(url) as connection:
                found |= {row[0] for row in connection.execute("select what from found")}
        assert len(urls) == 3
        assert found == {"own fixture", "in set-up", "ready fixture"}
        assert run.output.count("(its server stays up for 60 minutes") >= 3
        with psycopg.connect(urls.pop()) as connection:
            left = connection.execute("select count(*) from pg_database where datname ~ '^sc_'").fetchone()
        pools = list(home.glob("servicectx-home/postgres-*.*/pool"))
        assert left == (sum(len([*pool.glob("kept/*"), *pool.glob("ready/*/*")]) for pool in pools),)
    finally:
        for each in running():
            each.down(force=True)


def test_a_namespace_of_a_module_is_kept_if_a_test_that_names_it_failed(tmp_path: Path) -> None:
    """The extra `cli` is not installed: the report has no command of it."""
    conftest = """
        import sys

        from servicectx_pytest import service_fixture

        sys.modules["click"] = sys.modules["rich"] = None

        used = service_fixture("postgres", isolated=True, fixture_scope="module")
        other = service_fixture("postgres", isolated=True, fixture_scope="module")
    """
    test = """
        import psycopg

        def test_passes(used, other):
            with psycopg.connect(used.url) as connection:
                connection.execute("create table found as select 'module' as what")

        def test_fails(used):
            assert False
    """
    run = Project(tmp_path, conftest=conftest, test_it=test).start("--servicectx-keep-failed").wait()
    try:
        (url,) = set(re.findall(r"psql (postgresql://\S+)", run.output))
        with psycopg.connect(url) as connection:
            assert connection.execute("select what from found").fetchall() == [("module",)]
        assert run.output.count("kept for you -") == 1
        assert "(its server stays up for 60 minutes" in run.output
        assert "servicectx down" not in run.output
    finally:
        for each in running():
            each.down(force=True)


def test_without_the_wish_nothing_of_a_failed_test_is_kept(tmp_path: Path) -> None:
    run = Project(tmp_path, **KEEPING).start().end()
    assert "kept for you" not in run.output
