"""The register of services: names, aliases, and services of other packages."""

import functools
import importlib
import os
from typing import Any

from servicectx.errors import UnknownService
from servicectx.services.aliases import ALIASES
from servicectx.services.base import Service

ENTRY_POINTS = "servicectx.services"

_registered: dict[str, Service[Any]] = {}
_passed: dict[str, Service[Any]] = {}


@functools.cache
def built_in() -> tuple[str, ...]:
    """The services of this package: its folders. Folder NAME has the class Name in NAME/service.py."""
    root = os.path.dirname(__file__)
    return tuple(sorted(name for name in os.listdir(root) if os.path.exists(f"{root}/{name}/service.py")))


def register(service: type[Service[Any]] | Service[Any]) -> None:
    """Make a service known by its `name`, in this process. The second time replaces the first.

    Args:
        service: a subclass of `Service`, or an instance of one.

    Raises:
        TypeError: it is neither, or it has no `name`.
    """
    made: object = service() if isinstance(service, type) else service
    if not isinstance(made, Service) or not getattr(made, "name", ""):
        raise TypeError(f"register() takes a servicectx.Service with a name, not {service!r}")
    _registered[made.name] = made


def find(service: str | type[Service[Any]] | Service[Any]) -> Service[Any]:
    """The service for a name, a class or an instance. Raises UnknownService, which lists the known names."""
    if isinstance(service, type) and issubclass(service, Service):
        service = service()
    if isinstance(service, Service):
        _passed[service.name] = service
        return service
    if not isinstance(service, str):
        raise TypeError(f"a service is a name, a servicectx.Service class or an instance, not {service!r}")
    name = ALIASES.get(service, service)
    if name not in _registered:
        if name in built_in():
            module = importlib.import_module(f"servicectx.services.{name}.service")
            register(getattr(module, name.capitalize()))
        elif not _register_entry_point(name):
            raise UnknownService(service=service, known=names())
    return _registered[name]


def find_again(name: str) -> Service[Any]:
    """The service that details speak of: also one that was passed to `managed()` and never registered."""
    return _passed[name] if name in _passed else find(name)


def names() -> list[str]:
    """The names of all services that `managed()` knows here, aliases left out."""
    return sorted({*built_in(), *_registered, *(point.name for point in _entry_points())})


def _register_entry_point(name: str) -> bool:
    for point in _entry_points():
        if point.name == name:
            register(point.load())
            return name in _registered
    return False


def _entry_points() -> Any:
    from importlib.metadata import entry_points  # 40 ms, and only for names that are not built in

    return entry_points(group=ENTRY_POINTS)
