"""The fixtures, and the function that makes further ones."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, get_args

import pytest

from servicectx_pytest._services import Services
from servicectx_pytest._settings import settings
from servicectx_pytest._state import COORDINATOR, NAMESPACES, SERVICES
from servicectx_pytest._versions import require_version

# Built-in services: their names need no import. Other services are found when a test names them.
STATIC = (
    # generated: services, by python -m tests.services.generate
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
    # end of services
)


FixtureScope = Literal["function", "class", "module", "package", "session"]
FIXTURE_SCOPES = get_args(FixtureScope)


class ManagedService(Protocol):
    """Type of the fixture `managed_service`: `servicectx.managed` for the length of the run."""

    def __call__(self, service: Any, /, **arguments: Any) -> Any: ...


@pytest.fixture(scope="session")
def _servicectx(request: pytest.FixtureRequest) -> Iterator[Services]:
    """The services of this process, left when its tests are done."""
    config, coordinator = request.config, request.config.stash[COORDINATOR]
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    services = config.stash[SERVICES] = Services(
        settings(config, coordinator.id, coordinator.address), coordinator, worker
    )
    yield services
    del config.stash[SERVICES]
    services.close()


@pytest.fixture(scope="session")
def managed_service(_servicectx: Services) -> ManagedService:
    """A factory: `managed_service("postgres", name="orders", setup=migrate)` gives the details of a service.

    It takes the arguments of `servicectx.managed`. Equal calls give the same details. The run leaves all services
    at its end. A `scope` that is a word of pytest, such as "session", raises ValueError.
    """

    def managed_service(service: Any, /, **arguments: Any) -> Any:
        __tracebackhide__ = True
        check_scope("managed_service", arguments, cure="a service of this factory is left at the end of the run")
        return _servicectx.get(service, arguments, "managed_service")

    return managed_service


@pytest.fixture(scope="session")
def managed_asgi_app_factory(_servicectx: Services) -> Any:
    """`with managed_asgi_app_factory("module:app") as app:` runs an ASGI app for the block, and gives its details.

    Without an argument the app is taken from the variable TEST_APP_LOCATION, else from app.main:app.
    """

    def factory(app_location: str | None = None, **arguments: Any) -> Any:
        app = app_location or os.environ.get("TEST_APP_LOCATION") or "app.main:app"
        return _servicectx.managed("asgi", {"app": app, **arguments})

    return factory


def service_fixture(
    service: Any,
    /,
    *,
    isolated: Any = False,
    fixture_scope: FixtureScope | None = None,
    versions: Sequence[str | int] | None = None,
    **arguments: Any,
) -> Any:
    """A fixture of your own, in one line of a conftest: `cache = service_fixture("redis", name="cache")`.

    Args:
        service: as for `servicectx.managed`.
        isolated: give a fresh namespace, as `servicectx.isolated` does: True, or one or several set-ups for its
            content. Otherwise the fixture gives the details of the service itself.
        fixture_scope: the scope of the fixture in pytest. With `isolated` each function (the default), class, module,
            package or session of a process has a namespace of its own. Without `isolated` the default is "session";
            with a narrower scope the service is left at the end of that scope, and stops if it has no other user.
        versions: run each test once with each of these versions, as for the option `version`: ["15", ">=17"]. A version
            that is not installed is skipped, with its name. With SERVICECTX_REQUIRE_SERVERS it is an error.
        arguments: as for `servicectx.managed`: name, setup, depends, options ... The files of `depends` belong to
            the set-ups of `isolated`, too. Here `scope` means the users that share the service.

    Raises:
        TypeError: `service` has another type, such as the result of `managed()`; or `versions` and `version` are given.
        ValueError: `fixture_scope` is not a scope of pytest, or `scope` is one.
    """
    if not isinstance(service, str) and not hasattr(service, "name"):
        problem = f"service_fixture() takes the name of a service, or a Service, not {service!r}"
        raise TypeError(f'{problem}: write service_fixture("redis"), with the arguments of managed() after it')
    if versions is not None and "version" in arguments:
        raise TypeError("service_fixture() takes versions= or version=, not both")
    check_scope("service_fixture", arguments, cure="for the scope of the fixture write fixture_scope={!r}")
    width = fixture_scope or ("function" if isolated else "session")
    if width not in FIXTURE_SCOPES:
        scopes = ", ".join(map(repr, FIXTURE_SCOPES))
        problem = f"service_fixture(fixture_scope={fixture_scope!r}): the scopes of a fixture are {scopes}"
        raise ValueError(f"{problem}; for the users that share the service write scope={fixture_scope!r}")
    kind = service if isinstance(service, str) else service.name
    namespace = {"setup": None if isolated is True else isolated, "depends": None}
    if arguments.get("depends") is not None and namespace["setup"] is not None:
        namespace["depends"] = arguments["depends"]
        if arguments.get("setup") is None:
            del arguments["depends"]
    params = None if versions is None else [str(version) for version in versions]

    def arguments_of(_servicectx: Services, request: pytest.FixtureRequest) -> dict[str, Any]:
        __tracebackhide__ = True
        if params is None:
            return arguments
        asked = arguments | {"version": request.param}
        require_version(_servicectx, service, asked)
        return asked

    def whole(_servicectx: Services, request: pytest.FixtureRequest) -> Any:
        __tracebackhide__ = True
        return _servicectx.get(service, arguments_of(_servicectx, request), str(request.fixturename))

    def temporary(_servicectx: Services, request: pytest.FixtureRequest) -> Iterator[Any]:
        __tracebackhide__ = True
        asked = arguments_of(_servicectx, request)
        with _servicectx.temporary(service, asked, str(request.fixturename)) as details:
            yield details

    def part(_servicectx: Services, request: pytest.FixtureRequest) -> Iterator[Any]:
        yield from _namespace(request, whole(_servicectx, request), **namespace)

    each = "test" if width == "function" else width
    whole.__doc__ = f"A running {kind}, shared by the whole run: its details."
    part.__doc__ = f"A fresh namespace of a running {kind} for each {each}: its details."
    temporary.__doc__ = f"A running {kind} for each {each}: its details."
    function: Any = part if isolated else whole if width == "session" else temporary
    return pytest.fixture(scope=width, params=params)(function)


def check_scope(function: str, arguments: dict[str, Any], cure: str) -> None:
    """Raises ValueError if the sharing scope is one of pytest's scopes: the caller meant the scope of the fixture."""
    scope = arguments.get("scope")
    if isinstance(scope, str) and scope in FIXTURE_SCOPES:
        meaning = "scope= names the users that share the service (project, user, private, or another text)"
        raise ValueError(
            f"{function}(scope={scope!r}): {scope!r} is a scope of pytest. {meaning}; {cure.format(scope)}"
        )


def fixtures(services: Iterable[str]) -> dict[str, Any]:
    """Fixtures `managed_...` and `isolated_...` of these services, by name."""
    made = {}
    for service in services:
        name = "".join(letter if letter.isalnum() else "_" for letter in service)
        made[f"managed_{name}"] = service_fixture(service)
        made[f"isolated_{name}"] = _isolated_fixture(service, f"managed_{name}")
    return made


def _isolated_fixture(service: str, whole: str) -> Any:
    def part(_servicectx: Services, request: pytest.FixtureRequest) -> Iterator[Any]:
        details = request.getfixturevalue(whole)  # a conftest may have replaced this fixture, to add a set-up
        _servicectx.note_fixture(details, str(request.fixturename))
        yield from _namespace(request, details)

    part.__doc__ = f"A fresh namespace of a running {service} for each test: its details."
    return pytest.fixture(part)


def _namespace(request: pytest.FixtureRequest, details: Any, setup: Any = None, depends: Any = None) -> Iterator[Any]:
    from servicectx import isolated

    isolating = isolated(details, setup=setup, depends=depends)
    opened = request.node.stash.setdefault(NAMESPACES, {})
    opened[str(request.fixturename)] = isolating  # for the report of a failed test
    with isolating as namespace:
        yield namespace
