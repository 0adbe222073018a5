"""The fixtures, and the helper that makes more of them."""

import os
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import pytest

from servicectx_pytest._services import Services
from servicectx_pytest._settings import settings
from servicectx_pytest._state import NAMESPACES, RUN, SERVICES

# The services of servicectx itself, so that their names need no import. Others are found when a test names them.
STATIC = (
    "asgi",
    "cockroach",
    "command",
    "elasticsearch",
    "etcd",
    "kafka",
    "mariadb",
    "memcached",
    "mongodb",
    "moto",
    "mqtt",
    "nats",
    "opensearch",
    "postgres",
    "rabbitmq",
    "redis",
    "s3",
    "smtp",
    "temporal",
    "vault",
    "wsgi",
    "zookeeper",
)


class ManagedService(Protocol):
    """What the fixture `managed_service` gives: `servicectx.managed` for the length of the run."""

    def __call__(self, service: Any, /, **arguments: Any) -> Any: ...


@pytest.fixture(scope="session")
def _servicectx(request: pytest.FixtureRequest) -> Iterator[Services]:
    """The services of this process; left when its tests are done."""
    config, run = request.config, request.config.stash[RUN]
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    services = config.stash[SERVICES] = Services(settings(config, run.id, run.address), run, worker)
    yield services
    del config.stash[SERVICES]
    services.close()


@pytest.fixture(scope="session")
def managed_service(_servicectx: Services) -> ManagedService:
    """A factory: `managed_service("postgres", name="orders", setup=migrate)` gives the details of a service.

    It takes what `servicectx.managed` takes. Asked twice for the same it gives the same; all is left when the run ends.
    """

    def managed_service(service: Any, /, **arguments: Any) -> Any:
        __tracebackhide__ = True
        return _servicectx.get(service, arguments, "managed_service")

    return managed_service


@pytest.fixture(scope="session")
def managed_asgi_app_factory(_servicectx: Services) -> Any:
    """`with managed_asgi_app_factory("module:app") as app:` runs an ASGI app, for the block; gives its details.

    Without an argument it is the app that the variable TEST_APP_LOCATION names, else app.main:app.
    """

    def factory(app_location: str | None = None, **arguments: Any) -> Any:
        app = app_location or os.environ.get("TEST_APP_LOCATION") or "app.main:app"
        return _servicectx.managed("asgi", {"app": app, **arguments})

    return factory


def service_fixture(service: Any, /, *, isolated: Any = False, **arguments: Any) -> Any:
    """A fixture of your own, in one line of a conftest: `cache = service_fixture("redis", name="cache")`.

    Args:
        service: as for `servicectx.managed`, and so are the `arguments`: name, setup, options ...
        isolated: a fresh namespace of the service for each test, made as by `servicectx.isolated`: True, or a set-up
            or several for what is to be in it. Otherwise the fixture has session scope and gives the details of the
            service itself.

    Raises:
        TypeError: `service` is something else, such as what `managed()` gave.
    """
    if not isinstance(service, str) and not hasattr(service, "name"):
        problem = f"service_fixture() takes the name of a service, or a Service, not {service!r}"
        raise TypeError(f'{problem}: write service_fixture("redis"), with the arguments of managed() after it')
    kind = service if isinstance(service, str) else service.name

    def whole(_servicectx: Services, request: pytest.FixtureRequest) -> Any:
        return _servicectx.get(service, arguments, str(request.fixturename))

    def part(_servicectx: Services, request: pytest.FixtureRequest) -> Iterator[Any]:
        details = _servicectx.get(service, arguments, str(request.fixturename))
        yield from _namespace(request, details, None if isolated is True else isolated)

    whole.__doc__ = f"A running {kind}, shared by the whole run: its details."
    part.__doc__ = f"A fresh namespace of a running {kind} for each test: its details."
    return pytest.fixture(part) if isolated else pytest.fixture(scope="session")(whole)


def fixtures(services: Iterable[str]) -> dict[str, Any]:
    """`managed_...` and `isolated_...` for each of the services, by their names."""
    made = {}
    for service in services:
        name = "".join(letter if letter.isalnum() else "_" for letter in service)
        made[f"managed_{name}"] = service_fixture(service)
        made[f"isolated_{name}"] = _isolated_fixture(service, f"managed_{name}")
    return made


def _isolated_fixture(service: str, whole: str) -> Any:
    def part(_servicectx: Services, request: pytest.FixtureRequest) -> Iterator[Any]:
        details = request.getfixturevalue(whole)  # which a conftest may have replaced, to add a set-up
        _servicectx.note_fixture(details, str(request.fixturename))
        yield from _namespace(request, details, None)

    part.__doc__ = f"A fresh namespace of a running {service} for each test: its details."
    return pytest.fixture(part)


def _namespace(request: pytest.FixtureRequest, details: Any, setup: Any) -> Iterator[Any]:
    from servicectx import isolated

    isolating = isolated(details, setup=setup)
    request.node.stash.setdefault(NAMESPACES, []).append(isolating)  # for the report, should the test fail
    with isolating as namespace:
        yield namespace
