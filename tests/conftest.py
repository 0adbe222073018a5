"""Fixtures: a home for each test, which the test must leave empty, and a cache of prepared data for the whole run."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servicectx.isolation.pool import Pool
from tests.leftovers import end, files, processes, wait_for_none

RUN = "TESTS_RUN_DIRECTORY"  # environment variable: the directory of the run, for its workers
CLEANUP_WAIT = 5.0  # seconds

# Tests that share an expensive fixture run in one worker; all of ORDINARY do.
ORDINARY = (
    "tests/services/test_conformance.py::test_an_ordinary_user_uses_it",
    "tests/services/test_keep_data.py::test_an_ordinary_user",
)
TOGETHER = (
    "tests/services/test_own_service.py::",
    "tests/services/test_generate.py::",
    "tests/house/test_packaging.py::",
    "tests/integrations/test_how_to.py::",
    "tests/notebook/",
    "tests/services/test_rabbitmq.py::",
    "tests/website/test_site.py::",
)


def pytest_configure(config: pytest.Config) -> None:
    _handle_signals()
    text = "quarantine(reason): a time decides, so a failure is counted and printed, and fails no run"
    config.addinivalue_line("markers", text)
    if not hasattr(config, "workerinput"):
        path = tempfile.mkdtemp(prefix="sctx-", dir=_roomy())
        os.chmod(path, 0o711)  # the accounts of servers must be able to pass
        os.environ[RUN] = path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Group tests by their names: pytest-xdist 3.8.0 loses its group marks with pytest 9.2.0."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(ORDINARY):
                return ORDINARY[0]
            return next((start for start in TOGETHER if nodeid.startswith(start)), nodeid)

    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if mark := item.get_closest_marker("quarantine"):
            item.add_marker(pytest.mark.xfail(reason=mark.args[0], strict=False))
            item.user_properties.append(("quarantine", item.nodeid))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List services without a server, and shells that are missing. Only the controller writes a summary."""
    from tests.cli.env_readers import missing
    from tests.services.table import not_run_here

    if not hasattr(config, "workerinput"):
        names = ", ".join(not_run_here())
        terminalreporter.write_line(f"tested against stand-ins, because their servers are missing here: {names}")
        reports = [report for kind in ("xpassed", "xfailed") for report in terminalreporter.stats.get(kind, ())]
        quarantine = [report for report in reports if ("quarantine", report.nodeid) in report.user_properties]
        failed = [report.nodeid for report in quarantine if report.outcome != "passed"]
        terminalreporter.write_line(f"in quarantine: {len(quarantine)}, of which failed: {', '.join(failed) or 'none'}")
        programs = ", ".join(missing())
        terminalreporter.write_line(f"not run here, as readers of variables: {programs or 'none'}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(RUN), ignore_errors=True)


def _handle_signals() -> None:
    """Give signals their usual effect. A run in the background of a shell, or of nohup, inherits them as ignored."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _roomy() -> str:
    memory = "/dev/shm"
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 2**30:
        return memory
    return tempfile.gettempdir()


@pytest.fixture(scope="session")
def run_directory() -> Path:
    """Directory of this run: a short path on a large file system, passable for every account."""
    return Path(os.environ[RUN])


@pytest.fixture(scope="session")
def cache(run_directory: Path) -> Path:
    """The cache that all tests of this run share: the library's own directory below SERVICECTX_CACHE."""
    path = run_directory / "cache"
    path.mkdir(mode=0o711, exist_ok=True)
    return path / "servicectx-cache"


@pytest.fixture(autouse=True)
def home(
    run_directory: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """SERVICECTX_HOME of this test. A file or process that the test leaves there fails the test."""
    for name in list(os.environ):
        if name == "SERVICECTX_TEST_PORTABLE":
            continue
        if name.startswith("SERVICECTX_") or re.fullmatch("TEST_[A-Z]+_DETAILS", name):
            monkeypatch.delenv(name)
    path = Path(tempfile.mkdtemp(prefix="home-", dir=run_directory))
    path.chmod(0o711)
    monkeypatch.setenv("SERVICECTX_HOME", str(path))
    monkeypatch.setenv("SERVICECTX_CACHE", str(cache.parent))
    persistent = run_directory / path.name.replace("home-", "data-")  # not in the name of a process of another home
    monkeypatch.setenv("SERVICECTX_DATA", str(persistent))
    yield path
    left = [str(process) for process in processes(path)] + files(path)
    if left:
        left = wait_for_none(path, CLEANUP_WAIT)
    if left:
        end(path)
    for directory in (path, persistent):
        shutil.rmtree(directory, ignore_errors=True)
    assert not left, f"{request.node.name} left behind:\n" + "\n".join(left)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """A pool of files and locks, without databases."""
    pool = Pool(tmp_path)
    pool.make()
    return pool
