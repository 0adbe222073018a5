"""The registry of services: names, aliases, and services of other packages."""

import importlib
import re
from typing import Any

from servicectx.errors import UnknownService
from servicectx.services.aliases import ALIASES, REPLACED_BY
from servicectx.services.base import Service

# Folder NAME has the class Name in NAME/service.py. A module is imported at the first use of its service.
BUILT_IN = (
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
NAME = re.compile(r"[a-z][a-z0-9_-]*")
ENTRY_POINTS = "servicectx.services"

_registered: dict[str, Service[Any]] = {}
_passed: dict[tuple[str, type[Service[Any]]], Service[Any]] = {}  # the last one of each class and name


def register(service: type[Service[Any]] | Service[Any], *, replace: bool = False) -> None:
    """Register a service under its `name`, in this process. A later call replaces an earlier one.

    Args:
        service: a subclass of `Service`, or an instance of one.
        replace: replace a built-in service of this name, in this process.

    Raises:
        TypeError: `service` is neither, or it has no `name` or no `Details`.
        ValueError: the name belongs to a built-in service and `replace` is false, or the name cannot be part of
            files and variables.
    """
    made = _checked(service)
    if made.name in ALIASES or (made.name in BUILT_IN and not replace):
        raise ValueError(
            f"{made.name!r} is the name of a built-in service; choose another name, pass the service itself to"
            " managed(), or replace a built-in service with register(..., replace=True)"
        )
    _check_details(made)
    _registered[made.name] = made


def _checked(service: object) -> Service[Any]:
    """A service with a usable name."""
    made: object = service() if isinstance(service, type) else service
    if not isinstance(made, Service):
        raise TypeError(f"register() takes a servicectx.Service with a name, not {service!r}")
    _check_name(made)
    if not NAME.fullmatch(made.name):
        raise ValueError(
            f"invalid service name {made.name!r}: begin with a lower-case letter, and continue with lower-case letters,"
            " digits, '-' and '_'; the name is part of files and variables"
        )
    return made


def _check_member(service: Service[Any], member: str, example: str) -> None:
    """Raise TypeError, with the line to write, for a service class without this member."""
    if not getattr(service, member, None):
        kind = type(service).__name__
        raise TypeError(
            f"the service class {kind} has no {member}; write in its body: {member} = {example}. The page 'Own"
            " services' of the documentation has a complete class"
        )


def _check_name(service: Service[Any]) -> None:
    _check_member(service, "name", f'"{type(service).__name__.lower()}"')


def _check_details(service: Service[Any]) -> None:
    if type(service).details_model is Service.details_model:
        _check_member(service, "Details", '"my_package.details:MyDetails"')


def find(service: str | type[Service[Any]] | Service[Any]) -> Service[Any]:
    """The service of a name, a class or an instance. Raises UnknownService, which lists the known names."""
    if isinstance(service, type) and issubclass(service, Service):
        service = service()
    if isinstance(service, Service):
        _check_name(service)
        _check_details(service)
        key = (service.name, type(service))
        _passed.pop(key, None)
        _passed[key] = service  # in the order of their use
        return service
    if not isinstance(service, str):
        raise TypeError(f"a service is a name, a servicectx.Service class or an instance, not {service!r}")
    name = ALIASES.get(service, service)
    if name not in _registered:
        if name in BUILT_IN:
            module = importlib.import_module(f"servicectx.services.{name}.service")
            _registered[name] = _checked(getattr(module, name.capitalize()))
        elif not _register_entry_point(name):
            raise UnknownService(service=service, known=names(), instead=REPLACED_BY.get(service))
    return _registered[name]


def find_again(details: Any) -> Service[Any]:
    """The service of some details: the one last passed to `managed()` with their name and model, or a registered one.

    Another service with the same name and other details does not take its place. Raises UnknownService.
    """
    name, known = details.service, None
    for (passed, _), service in reversed(_passed.items()):
        if passed == name:
            if isinstance(details, service.details_model()):
                return service
            known = known or service
    try:
        return find(name)
    except UnknownService:
        if known is None:
            raise
        return known


def names() -> list[str]:
    """The names of all services that `managed()` accepts here, without aliases."""
    return sorted({*BUILT_IN, *_registered, *(point.name for point in _entry_points())})


def _register_entry_point(name: str) -> bool:
    for point in _entry_points():
        if point.name == name:
            register(point.load())
            return name in _registered
    return False


def _entry_points() -> Any:
    from importlib.metadata import entry_points  # 40 ms, and only for names that are not built in

    return entry_points(group=ENTRY_POINTS)
