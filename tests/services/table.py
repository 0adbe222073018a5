"""The conformance table: a row for every server that can run here, and a list of the services that cannot.

A service's own tests are in `test_<name>.py`; `put` and `get` there store and read a text with its usual client.
"""

import contextlib
import functools
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servicectx import BinaryNotFound, NotIsolable, isolated, managed
from servicectx.services import registry
from servicectx.testing import Usage, check_service
from tests.services.row import Row

# A missing server is a failure, as in CI. Read at import: a test's own environment has no such variables.
REQUIRED = "SERVICECTX_REQUIRE_SERVERS" in os.environ


@functools.cache
def rows() -> tuple[Row, ...]:
    """The rows of all services, as their test files have them."""
    return tuple(row for name in registry.BUILT_IN for row in _tests(name).ROWS)


@functools.cache
def not_run_here() -> tuple[str, ...]:
    """Services without a server where these tests run: only their command line, details and errors are tested."""
    return tuple(name for name in registry.BUILT_IN if not _tests(name).ROWS)


def _tests(service: str) -> Any:
    try:
        return importlib.import_module(f"tests.services.test_{service}")
    except ModuleNotFoundError as error:
        if error.name != f"tests.services.test_{service}":  # the package of a client is missing
            raise
        raise AssertionError(f"write tests/services/test_{service}.py, with ROWS, put and get") from error


def declared(service: str, name: str) -> Any:
    """A constant in the test file of a service, or None: KIND, URLS and SENDS_REPORTS of a service that is new."""
    return getattr(_tests(service), name, None) if service in registry.BUILT_IN else None


def row(name: str) -> Row:
    """The named row. Only the test file of its service is imported, because those files import all clients."""
    services = [service for service in registry.BUILT_IN if name.partition("-")[0] == service]
    return next(row for service in services for row in _tests(service).ROWS if str(row) == name)


def usage(service: str) -> Usage | None:
    module = _tests(service)
    return Usage(module.put, module.get) if hasattr(module, "put") else None


def program(row: Row) -> str | None:
    """The program of this row, or None for the first program that the search finds. Raises BinaryNotFound."""
    if row.program is None:
        return None
    packages = Path(pytest.__file__).parents[1]
    pattern = row.program.replace("{packages}", str(packages)).lstrip("/")
    for path in sorted(Path("/").glob(pattern), reverse=True):
        return str(path)
    raise BinaryNotFound(service=row.service, binary=row.program, looked=[row.program], install={})


def there(row: Row) -> bool:
    """Whether the row's server is installed. Required servers and servers from pip must be installed."""
    service = registry.find(row.service)
    try:
        if program(row) is None:
            service.program(service.options(row.options))
    except BinaryNotFound:
        if row.needs == "pip" or REQUIRED:
            raise
        return False
    return True


def require(service: str) -> None:
    """Skip the test if the server of that row, or of every row of that service, is missing and not required.

    Raises BinaryNotFound for a required server. A name without a row needs no server.
    """
    found = [row for row in rows() if service in (str(row), row.service)]
    if found and not any(there(row) for row in found):
        pytest.skip(f"{service}: its server is not installed here; make system-servers installs it")


@contextlib.contextmanager
def chosen(row: Row) -> Iterator[None]:
    """Make the service find this row's server first."""
    variable, path = f"SERVICECTX_{row.service.upper()}_BIN", program(row)
    if path is not None:
        os.environ[variable] = path
    try:
        yield
    finally:
        if path is not None:
            del os.environ[variable]


def check(row: Row) -> None:
    """Run `check_service` with this row's server."""
    with chosen(row):
        check_service(row.service, usage=usage(row.service), binary=row.binary, **row.options)


def use(name: str) -> None:
    """Start, use and leave the service of the named row as the current user, and check that no file stays."""
    used_row = row(name)
    used = usage(used_row.service)
    with chosen(used_row), managed(used_row.service, timeout=100, **used_row.options) as details:
        if used:
            used.put(details, "colour", "green")
            assert used.get(details, "colour") == "green"
        with contextlib.suppress(NotIsolable), isolated(details) as mine:
            assert used is None or used.get(mine, "colour") is None
    empty = ("data", "servicectx-home", "SERVICECTX.TAG")  # the parts of a home without instances
    left = [path for path in Path(os.environ["SERVICECTX_HOME"]).rglob("*") if path.name not in empty]
    assert not left, left
