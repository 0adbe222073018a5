"""Hooks: a run begins and ends, workers come, and fixtures appear for services that others register."""

import logging
import sys
from collections.abc import Generator, Iterable
from types import ModuleType
from typing import Any

import pytest

from servicectx_pytest._fixtures import STATIC, fixtures
from servicectx_pytest._harmless import Harmless
from servicectx_pytest._run import Run
from servicectx_pytest._settings import settings
from servicectx_pytest._state import KNOWN, RUN

PREFIXES = ("managed_", "isolated_")


class Notes(logging.Handler):
    """Hears what the library logs, for the summary."""

    def __init__(self, run: Run) -> None:
        super().__init__(logging.WARNING)
        self.run = run

    def emit(self, record: logging.LogRecord) -> None:
        with Harmless(self.run.notes.append, "a line of the log"):
            self.run.notes.append(record.getMessage())


def pytest_configure(config: pytest.Config) -> None:
    run = config.stash[RUN] = Run()
    notes = Notes(run)
    logging.getLogger("servicectx").addHandler(notes)
    config.add_cleanup(lambda: logging.getLogger("servicectx").removeHandler(notes))
    config.add_cleanup(lambda: _close(run))
    config.stash[KNOWN] = {*fixtures(STATIC), "managed_service", "managed_asgi_app_factory"}
    settings(config, run.id)  # says now what is wrong with them
    if config.getoption("forked", False) and not hasattr(config, "workerinput"):
        run.listen()  # each test asks in a process of its own


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The controller of pytest-xdist is about to start a worker: say what holds for the whole run."""
    run = node.config.stash[RUN]
    run.id = node.workerinput["testrunuid"]
    address = ""
    with Harmless(run.notes.append, "the line between workers"):  # they share services without it, too
        address = run.listen()
    node.workerinput["servicectx"] = settings(node.config, run.id, address)._asdict()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """After the workers have ended, before the summary is written."""
    try:
        return (yield)
    finally:
        _close(session.config.stash[RUN])


def _close(run: Run) -> None:
    with Harmless(run.notes.append, "the end of a service"):
        run.close()


def pytest_sessionstart(session: pytest.Session) -> None:
    """A conftest that registered a service has imported the register for that."""
    if "servicectx.services.registry" in sys.modules:
        _add_all_fixtures(session.config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test names a fixture of a service that came with another package, or was registered only now."""
    known = metafunc.config.stash[KNOWN]
    wanted = {name for name in metafunc.fixturenames if name.startswith(PREFIXES) and name not in known}
    if wanted:
        _add_all_fixtures(metafunc.config)
        known |= wanted  # what is still unknown is no business of ours


def _add_all_fixtures(config: pytest.Config) -> None:
    with Harmless(config.stash[RUN].notes.append, "a fixture for a service that another package brings"):
        from servicectx import service_names

        _add_fixtures(config, service_names())


def _add_fixtures(config: pytest.Config, services: Iterable[str]) -> None:
    known = config.stash[KNOWN]
    made = {name: fixture for name, fixture in fixtures(services).items() if name not in known}
    if made:
        plugin = ModuleType(f"servicectx_pytest with {', '.join(sorted(made))}")
        vars(plugin).update(made)
        known.update(made)
        config.pluginmanager.register(plugin, plugin.__name__)
