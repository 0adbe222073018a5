"""Interrupts and kills: no hang, and nothing is left of any service two seconds later."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.detector import wait_for
from tests.integrations.pytest_.projects import Project
from tests.integrations.runs import Run, instances
from tests.leftovers import files, processes

GONE = 2.0  # seconds
WAYS = {"alone": ("-n0",), "workers": ("-n2",), "forked": ("--forked",)}

SLEEPERS = """
    import time
    import pytest
    from helping import note, use

    @pytest.mark.parametrize("number", range(2))
    def test_sleeps(managed_redis, isolated_postgres, number):
        use(managed_redis)
        note("in a test")
        time.sleep(60)
"""


@pytest.fixture
def sleeping(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    """A run with services and sleeping tests: one, or one in each worker."""
    runs = []

    def start(way: str) -> Run:
        run = Project(tmp_path, test_sleeps=SLEEPERS).start(*WAYS[way])
        runs.append(run)
        run.wait_for_note("in a test", 2 if way == "workers" else 1)
        return run

    yield start
    for run in runs:
        with contextlib.suppress(ProcessLookupError):
            run.signal_all(signal.SIGKILL)
        run.process.communicate()


def of_services(home: Path, project: Path) -> list[str]:
    """Processes and files of services, without pytest's own processes, which work in the project."""
    found = []
    for process in processes(home):
        try:
            if process.cwd() != str(project):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found + files(home)


@pytest.mark.parametrize("to", ["group", "first process"])
@pytest.mark.parametrize("way", ["alone", "workers"])
def test_ctrl_c(home: Path, tmp_path: Path, sleeping: Callable[[str], Run], way: str, to: str) -> None:
    run = sleeping(way)
    assert of_services(home, tmp_path)
    began = time.monotonic()
    if to == "group":
        run.signal_all(signal.SIGINT)
    else:
        run.signal(signal.SIGINT)
    run.end()  # nothing is left
    assert time.monotonic() - began < 30
    assert run.process.returncode == 2, run.output
    assert "KeyboardInterrupt" in run.output
    assert "INTERNALERROR" not in run.output, run.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("way", WAYS)
def test_the_first_process_is_killed(
    home: Path, tmp_path: Path, sleeping: Callable[[str], Run], way: str, number: signal.Signals
) -> None:
    run = sleeping(way)
    assert of_services(home, tmp_path)
    run.signal(number)
    assert run.process.wait(10) == -number
    wait_for(lambda: not of_services(home, tmp_path), GONE, lambda: str(of_services(home, tmp_path)))
    if way == "workers":  # workers live until they notice the loss
        wait_for(lambda: not processes(home), 40, lambda: str(processes(home)))


@pytest.mark.parametrize("way", WAYS)
def test_all_processes_are_killed_at_once(home: Path, tmp_path: Path, sleeping: Callable[[str], Run], way: str) -> None:
    run = sleeping(way)
    run.signal_all(signal.SIGKILL)
    wait_for(lambda: not of_services(home, tmp_path), GONE, lambda: str(of_services(home, tmp_path)))
    assert not processes(home)


def test_a_worker_is_killed_and_replaced(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_cache="""
            import os
            import signal
            import pytest
            from helping import note, use

            @pytest.mark.parametrize("number", range(12))
            def test_cache(managed_redis, number):
                use(managed_redis)
                if number in (3, 8):
                    os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    run = project.run("-n2", status=1)
    assert "2 failed, 10 passed" in run.output
    assert "replacing crashed worker" in run.output
    uses = run.notes("use")
    assert len(uses) == 12
    assert len({use["pid"] for use in uses}) >= 3
    assert len(instances(uses, "redis")) == 1


def test_the_only_worker_is_killed_while_it_starts_the_service(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        conftest="""
            import os
            import signal
            from helping import note
            from servicectx_pytest import service_fixture

            def set_up(redis):
                note("set-up")
                if os.environ["PYTEST_XDIST_WORKER"] == "gw0":
                    os.kill(os.getpid(), signal.SIGKILL)

            cache = service_fixture("redis", name="cache", setup=set_up)
        """,
        test_cache="""
            import pytest
            from helping import use

            @pytest.mark.parametrize("number", range(4))
            def test_cache(cache, number):
                use(cache)
        """,
    )
    run = project.run("-n1", status=1)
    assert "1 failed, 3 passed" in run.output
    assert len(run.notes("set-up")) == 2
    assert len(instances(run.notes("use"), "redis")) == 1


def test_the_server_is_killed(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        test_cache="""
            import os
            import signal
            import redis
            from helping import server

            def test_kill(managed_redis):
                os.kill(server(managed_redis), signal.SIGKILL)
                redis.Redis.from_url(managed_redis.url).ping()
        """,
    )
    for way in ("-n0", "-n1"):
        run = project.start(way, "-W", "default").end()
        assert run.process.returncode == 1
        assert "- service redis -" in run.output
        assert "it died: the server was ended by SIGKILL (exit status -9)" in run.output
    assert os.environ["SERVICECTX_HOME"]
