"""Interruptions of a start, a test or the run: later tests get details or an error, and nothing is left."""

from pathlib import Path

import pytest

from tests.integrations.pytest_.projects import Project
from tests.integrations.runs import FINDS_PLUGINS

SLOW_ONCE = """
    import os
    import time
    from helping import note
    from servicectx_pytest import service_fixture

    def fill(redis):
        note("set-up")
        with open(os.environ["JOURNAL"]) as journal:
            first = journal.read().count('"set-up"') == 1
        if first:
            INTERRUPT

    cache = service_fixture("redis", name="cache", setup=fill)
    cache_db = service_fixture("redis", name="cache", setup=fill, isolated=True)
"""

TESTS = """
    import pytest
    from helping import use

    @pytest.mark.timeout(TIMEOUT)
    def test_first(request, managed_service):
        request.getfixturevalue("cache_db")

    def test_second(cache_db):
        use(cache_db)

    def test_third(managed_service, cache_db):
        use(cache_db)
"""

INTERRUPTIONS = {
    "a time-out": ("time.sleep(60)", "15"),
    "an outcome": ("import pytest; pytest.fail('the set-up says so')", "60"),
    "a skip": ("import pytest; pytest.skip('the set-up says so')", "60"),
}


@pytest.mark.parametrize("way", ["-n0", "-n1"])
@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_a_start_that_was_interrupted_is_begun_again(tmp_path: Path, interruption: str, way: str) -> None:
    statement, timeout = INTERRUPTIONS[interruption]
    project = Project(
        tmp_path, conftest=SLOW_ONCE.replace("INTERRUPT", statement), test_cache=TESTS.replace("TIMEOUT", timeout)
    )
    skipped = interruption == "a skip"
    run = project.run(way, "--timeout-method=signal", status=0 if skipped else 1)
    assert ("2 passed, 1 skipped" if skipped else "1 failed, 2 passed") in run.output, run.output
    assert len(run.notes("set-up")) == 2
    assert "NoneType" not in run.output


BOTH = """
    from helping import note, use

    def test_first(request):
        note("asks")
        use(request.getfixturevalue("cache_db"))

    def test_second(request):
        note("asks")
        use(request.getfixturevalue("cache_db"))
"""
FAILS = """
            import pathlib, pytest
            while pathlib.Path(os.environ["JOURNAL"]).read_text().count('"asks"') < 2:
                time.sleep(0.05)
            pytest.fail('the set-up says so')
"""


def test_a_worker_that_waits_for_an_interrupted_start_begins_its_own(tmp_path: Path) -> None:
    """Two workers request the same service, and the first start is interrupted while the other one waits for it."""
    project = Project(tmp_path, conftest=SLOW_ONCE.replace("\n            INTERRUPT", FAILS), test_cache=BOTH)
    run = project.run("-n2", status=1)
    assert "1 failed, 1 passed" in run.output, run.output
    assert len(run.notes("set-up")) == 2
    assert "NoneType" not in run.output


def test_a_time_out_that_ends_the_process_leaves_nothing(tmp_path: Path) -> None:
    project = Project(
        tmp_path, conftest=SLOW_ONCE.replace("INTERRUPT", "time.sleep(60)"), test_cache=TESTS.replace("TIMEOUT", "15")
    )
    run = project.start("--timeout-method=thread").end()
    assert run.process.returncode == 1
    assert "Timeout" in run.output
    run = project.start("-n1", "--timeout-method=thread", JOURNAL=str(project.start("--version").end().journal)).end()
    assert "2 passed" in run.output, run.output


@pytest.mark.parametrize(
    ("where", "way"), [("in the set-up", "-n0"), ("in a test", "-n0"), ("by a key", "-n0"), ("by a key", "-n2")]
)
def test_the_run_is_ended_from_inside(tmp_path: Path, where: str, way: str) -> None:
    """`pytest.exit` in a worker is not tested: pytest-xdist itself fails then."""
    ending = "raise KeyboardInterrupt" if where == "by a key" else "pytest.exit('enough', 3)"
    project = Project(
        tmp_path,
        conftest=f"""
            import pytest
            from servicectx_pytest import service_fixture

            def fill(redis):
                if {where == "in the set-up"}:
                    {ending}

            cache = service_fixture("redis", name="cache", setup=fill)
        """,
        test_cache=f"""
            import pytest

            def test_first(cache, isolated_postgres):
                {ending}

            def test_second(cache):
                assert cache.port
        """,
    )
    run = project.start(way).end()
    assert run.process.returncode == (2 if where == "by a key" else 3), run.output
    assert "INTERNALERROR" not in run.output


def test_a_failure_that_is_a_group_is_reported(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_groups="""
            import asyncio

            def test_group(isolated_redis):
                raise ExceptionGroup("several", [LookupError("one"), ValueError("two")])

            def test_group_of_all(isolated_redis):
                raise BaseExceptionGroup("several", [asyncio.CancelledError(), GeneratorExit()])

            def test_after(isolated_redis):
                assert isolated_redis.port
        """,
    )
    for way in ("-n0", "-n1"):
        run = project.run(way, status=1)
        assert "2 failed, 1 passed" in run.output, run.output
        assert "is missing here" not in run.output


def test_the_debugger_opens_at_a_failure_and_the_service_is_there(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        conftest="""
            import pdb
            from helping import use

            class Debugger(pdb.Pdb):
                def interaction(self, frame, traceback=None):
                    while traceback.tb_next:
                        traceback = traceback.tb_next
                    use(traceback.tb_frame.f_locals["isolated_redis"])
        """,
        test_cache="""
            def test_fails(isolated_redis):
                assert False

            def test_never(isolated_redis):
                assert False
        """,
    )
    run = project.run("-x", "--pdb", "--pdbcls=conftest:Debugger", status=1)
    assert len(run.notes("use")) == 1
    assert "1 failed" in run.output


def test_a_run_without_the_plugin(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_plain="""
            import sys

            def test_plain():
                assert "servicectx" not in sys.modules
        """,
    )
    assert "1 passed" in project.run("-p", "no:servicectx_pytest", status=0, **FINDS_PLUGINS).output


def test_a_run_that_uses_no_service_imports_none_of_the_library(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_plain="""
            import sys

            def test_plain():
                ours = {name for name in sys.modules if name.startswith("servicectx.")}
                assert ours == {"servicectx.system", "servicectx.system.originals"}
                assert "pydantic" not in sys.modules
        """,
    )
    assert "1 passed" in project.run().output


BAD = {
    "--servicectx-linger=nan": "servicectx linger: 'nan' is not a number of seconds, such as 1.5, or a duration",
    "--servicectx-linger=-1": "servicectx linger: '-1' is not a number of seconds, such as 1.5, or a duration",
    "--servicectx-linger=soon": "servicectx linger: 'soon' is not a number of seconds",
    "--servicectx-storage=/no/such/place": "servicectx storage: /no/such/place is not a directory",
}


@pytest.mark.parametrize("option", BAD)
@pytest.mark.parametrize("way", ["-n0", "-n1"])
def test_a_bad_option_is_an_error_of_usage(tmp_path: Path, option: str, way: str) -> None:
    project = Project(tmp_path, test_cache="def test_cache(managed_redis):\n    pass\n")
    run = project.run(option, way, status=4)
    assert BAD[option] in run.output, run.output
    assert "Traceback" not in run.output
