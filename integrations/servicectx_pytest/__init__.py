"""servicectx for pytest: fixtures for real services. A run shares one server of each kind, with any number of workers.

`managed_<service>` gives the details of a running service, `isolated_<service>` the details of a fresh namespace for
each test, `managed_service` is a factory for everything else, and `service_fixture` makes a fixture of your own:

    orders_db = service_fixture("postgres", name="orders", setup=migrate, isolated=True)

Nothing is started or opened before a test uses one of these fixtures. Until then only the package `servicectx` itself
is imported: it copies functions that tests may replace later, such as `socket.socket` and `time.monotonic`.
"""

import servicectx_pytest._rewriting  # isort: skip  # noqa: F401  # before the library
import servicectx  # noqa: F401  # before any test
from servicectx_pytest._fixtures import (
    STATIC,
    ManagedService,
    _servicectx,
    fixtures,
    managed_asgi_app_factory,
    managed_service,
    service_fixture,
)
from servicectx_pytest._hooks import (
    pytest_configure,
    pytest_configure_node,
    pytest_generate_tests,
    pytest_sessionfinish,
    pytest_sessionstart,
)
from servicectx_pytest._report import (
    pytest_report_header,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    pytest_terminal_summary,
)
from servicectx_pytest._settings import pytest_addoption

__all__ = [
    "ManagedService",
    "_servicectx",
    "managed_asgi_app_factory",
    "managed_service",
    "pytest_addoption",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_generate_tests",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_sessionfinish",
    "pytest_sessionstart",
    "pytest_terminal_summary",
    "service_fixture",
]

globals().update(fixtures(STATIC))
