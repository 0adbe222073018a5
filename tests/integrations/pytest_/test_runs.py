"""Whole runs: one server of each kind for all processes of a run, set up once."""

from pathlib import Path

import pytest

from tests.integrations.pytest_.projects import Project
from tests.integrations.runs import instances

ORDERS = {
    "conftest": """
        import psycopg
        from helping import note
        from servicectx_pytest import service_fixture

        def migrate(pg):
            note("set-up")
            with psycopg.connect(pg.url) as connection:
                connection.execute("create table orders (what text)")

        orders = service_fixture("postgres", name="orders", setup=migrate)
        orders_db = service_fixture("postgres", name="orders", setup=migrate, isolated=True)
    """,
    "test_orders": """
        import psycopg
        import pytest
        from helping import use

        @pytest.mark.parametrize("number", range(4))
        def test_isolated(orders_db, number):
            use(orders_db)
            with psycopg.connect(orders_db.url) as connection:
                connection.execute("insert into orders values ('a chair')")
                assert connection.execute("select count(*) from orders").fetchone() == (1,)

        @pytest.mark.xdist_group("one")
        @pytest.mark.parametrize("number", range(3))
        def test_shared(orders, number):
            use(orders)
            with psycopg.connect(orders.url) as connection:
                connection.execute("select from orders")
    """,
    "test_cache": """
        import pytest
        import redis
        from helping import use

        @pytest.mark.parametrize("number", range(4))
        def test_isolated(isolated_redis, number):
            use(isolated_redis)
            with redis.Redis.from_url(isolated_redis.url) as client:
                assert client.incr("visits") == 1

        @pytest.mark.xdist_group("one")
        @pytest.mark.parametrize("number", range(3))
        def test_shared(managed_redis, number):
            use(managed_redis)
    """,
}

WAYS = {
    "alone": (),
    "no-workers": ("-n0",),
    "workers": ("-n4",),
    "groups": ("-n2", "--dist=loadgroup"),
    "files": ("-n2", "--dist=loadfile"),
    "forked": ("--forked",),
    "forked-workers": ("-n2", "--forked"),
    "without-xdist": ("-p", "no:xdist"),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_server_of_each_kind_set_up_once(tmp_path: Path, way: str) -> None:
    run = Project(tmp_path, **ORDERS).run(*WAYS[way], "-W", "ignore::pytest.PytestUnknownMarkWarning")
    assert "14 passed" in run.output
    uses = run.notes("use")
    assert len(uses) == 14
    assert len(instances(uses, "postgres")) == len(instances(uses, "redis")) == 1
    assert len(run.notes("set-up")) == 1
    assert "redis: started in " in run.output
    assert "postgres 'orders': started in " in run.output


def test_two_runs_at_once_share_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path, **ORDERS)
    both = [project.start("-n2"), project.start("-n2")]
    for run in both:
        run.wait()
    for run in both:
        run.end()
        assert run.process.returncode == 0, run.output
    for service in ("postgres", "redis"):
        one, other = (instances(run.notes("use"), service) for run in both)
        assert len(one) == len(other) == 1
        assert one != other


def test_it_does_not_stop_when_one_worker_is_done_before_another_begins(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        conftest="""
            from helping import note

            def pytest_unconfigure(config):
                if hasattr(config, "workerinput"):
                    note("worker is done")
        """,
        test_early="""
            from helping import note, use

            def test_early(managed_redis):
                use(managed_redis)
        """,
        test_late="""
            import time
            from helping import use, wait_for

            def test_late(request):
                wait_for("worker is done")
                time.sleep(0.5)
                use(request.getfixturevalue("managed_redis"))
        """,
    )
    run = project.run("-n2", "--dist=loadfile")
    early, late = run.notes("use")
    assert early["pid"] != late["pid"]
    assert early["instance"] == late["instance"]
    assert "redis: started in" in run.output
    assert "joined in" in run.output


def test_a_set_up_that_fails_runs_once_and_fails_all_workers_alike(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        conftest="""
            from helping import note
            from servicectx_pytest import service_fixture

            def migrate(redis):
                note("set-up")
                raise LookupError("there is no such table")

            cache = service_fixture("redis", name="cache", setup=migrate)
        """,
        test_cache="""
            import time
            import pytest

            @pytest.mark.parametrize("number", range(24))
            def test_cache(number, cache):
                pass

            @pytest.mark.parametrize("number", range(8))
            def test_later(number, request):
                time.sleep(0.2)  # after the tests that waited for the first start
                request.getfixturevalue("cache")
        """,
    )
    for way in ("-n4", "-n0"):
        run = project.run(way, status=1)
        assert len(run.notes("set-up")) == 1
        assert "24 errors" in run.output
        assert "8 failed" in run.output
        assert run.output.count("SetupFailed: the set-up conftest:migrate of redis 'cache' failed") >= 32
        assert "redis 'cache': failed with SetupFailed" in run.output


def test_a_start_that_fails_is_not_repeated(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_cache="""
            import pytest

            @pytest.mark.parametrize("number", range(8))
            def test_cache(number, managed_redis):
                pass
        """,
    )
    program = tmp_path / "redis-server"
    program.write_text('#!/bin/sh\necho started >> "$0.starts"\nexit 7\n')
    program.chmod(0o755)
    run = project.run("-n4", status=1, SERVICECTX_REDIS_BIN=str(program))
    assert "8 errors" in run.output
    assert "exit status: 7" in run.output
    starts = Path(f"{program}.starts").read_text().splitlines()
    alone = project.run("-n0", status=1, SERVICECTX_REDIS_BIN=str(program))
    assert "8 errors" in alone.output
    assert len(Path(f"{program}.starts").read_text().splitlines()) == 2 * len(starts)


@pytest.mark.parametrize("way", [("-x",), ("-x", "-n2"), ("--maxfail=2", "-n2"), ("--maxfail=1", "-n3")])
def test_a_run_that_stops_early(tmp_path: Path, way: tuple[str, ...]) -> None:
    project = Project(
        tmp_path,
        test_cache="""
            import pytest
            from helping import use

            @pytest.mark.parametrize("number", range(40))
            def test_cache(number, managed_redis):
                use(managed_redis)
                assert number % 3
        """,
    )
    run = project.run(*way, status=1 if way == ("-x",) else 2)
    assert "stopping after" in run.output
    assert len(instances(run.notes("use"), "redis")) == 1


@pytest.mark.parametrize("way", ["-n0", "-n2"])
def test_children_that_tests_fork_take_nothing_away(tmp_path: Path, way: str) -> None:
    project = Project(
        tmp_path,
        test_forks="""
            import atexit
            import multiprocessing
            import os
            import pytest
            from helping import use

            @pytest.mark.parametrize("number", range(4))
            def test_fork(managed_redis, isolated_redis, number):
                child = os.fork()
                if child == 0:
                    atexit._run_exitfuncs()
                    os._exit(0)
                os.waitpid(child, 0)
                use(isolated_redis)

            def test_multiprocessing(managed_redis):
                child = multiprocessing.get_context("fork").Process(target=use, args=(managed_redis,))
                child.start()
                child.join()
                assert child.exitcode == 0
                use(managed_redis)
        """,
    )
    run = project.run(way)
    assert len(run.notes("use")) == 6
    assert len(instances(run.notes("use"), "redis")) == 1
