"""Hooks for the begin and end of a run, for workers, and for fixtures of services that other packages register."""

import logging
import sys
from collections.abc import Generator, Iterable
from types import ModuleType
from typing import Any

import pytest

from servicectx_pytest._coordinator import Coordinator
from servicectx_pytest._fixtures import STATIC, fixtures
from servicectx_pytest._harmless import Harmless
from servicectx_pytest._settings import settings
from servicectx_pytest._state import COORDINATOR, KNOWN

PREFIXES = ("managed_", "isolated_")


class Notes(logging.Handler):
    """Collect warnings of the library for the summary."""

    def __init__(self, coordinator: Coordinator) -> None:
        super().__init__(logging.WARNING)
        self.coordinator = coordinator

    def emit(self, record: logging.LogRecord) -> None:
        with Harmless(self.coordinator.notes.append, "a line of the log"):
            self.coordinator.notes.append(record.getMessage())


def pytest_configure(config: pytest.Config) -> None:
    coordinator = config.stash[COORDINATOR] = Coordinator()
    notes = Notes(coordinator)
    logging.getLogger("servicectx").addHandler(notes)
    config.add_cleanup(lambda: logging.getLogger("servicectx").removeHandler(notes))
    config.add_cleanup(lambda: _close(coordinator))
    config.stash[KNOWN] = {*fixtures(STATIC), "managed_service", "managed_asgi_app_factory"}
    settings(config, coordinator.id)  # an invalid option is reported here
    if config.getoption("forked", False) and not hasattr(config, "workerinput"):
        coordinator.listen()  # each test runs in a process of its own


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the settings of the run to a worker that pytest-xdist is about to start."""
    coordinator = node.config.stash[COORDINATOR]
    coordinator.id = node.workerinput["testrunuid"]
    address = ""
    with Harmless(coordinator.notes.append, "the connection of workers"):  # they share services without it, too
        address = coordinator.listen()
    node.workerinput["servicectx"] = settings(node.config, coordinator.id, address)._asdict()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Close the coordinator after the workers have ended, before the summary is written."""
    try:
        return (yield)
    finally:
        _close(session.config.stash[COORDINATOR])


def _close(coordinator: Coordinator) -> None:
    with Harmless(coordinator.notes.append, "the end of a service"):
        coordinator.close()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Add fixtures of services that a conftest registered: it imported the registry for that."""
    if "servicectx.services.registry" in sys.modules:
        _add_all_fixtures(session.config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Add fixtures of services from other packages or late registrations, when a test names one."""
    known = metafunc.config.stash[KNOWN]
    unknown = {name for name in metafunc.fixturenames if name.startswith(PREFIXES) and name not in known}
    if unknown:
        _add_all_fixtures(metafunc.config)
        known |= unknown  # names that are still unknown belong to other plugins


def _add_all_fixtures(config: pytest.Config) -> None:
    with Harmless(config.stash[COORDINATOR].notes.append, "a fixture for a service that another package brings"):
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
