"""The isolation of any service: the one that it returns, or an adapter for a service with methods for namespaces.

Before `Service.isolation`, a service had the methods `open_namespace`, `close_namespace`, `open_layered`,
`keep_namespace` and `freeze`. Classes that define them keep working through the adapter, in this file alone.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from servicectx.isolation.interface import Isolation
from servicectx.isolation.setup_step import SetupSteps

D = TypeVar("D", bound=Any)

METHODS = {"open_namespace", "close_namespace", "open_layered", "keep_namespace", "freeze"}


def isolation_of(service: Any, details: D, data: str = "") -> Isolation[D] | None:
    """The namespaces of one instance of `service`, or None. `data` is the data directory, "" if it is not readable.

    The most derived class decides: it defines `isolation`, or methods that replace parts of an inherited isolation.
    """
    isolation: Isolation[D] | None = service.isolation(details, data)
    for kind in type(service).__mro__:
        if "isolation" in vars(kind):
            return isolation
        if METHODS & vars(kind).keys():
            return NamespaceMethods(service, details, isolation or Isolation(details))
    return isolation


class NamespaceMethods(Isolation[D]):
    """An isolation that calls the methods of a service. A method that the service lacks comes from `inherited`."""

    def __init__(self, service: Any, details: D, inherited: Isolation[D]) -> None:
        super().__init__(details)
        self._inherited = inherited
        self._methods: dict[str, Callable[..., Any]] = {
            name: getattr(service, name) for name in METHODS if hasattr(service, name)
        }

    def create(self) -> D:
        create = self._methods.get("open_namespace")
        namespace: D = create(self.details) if create else self._inherited.create()
        return namespace

    def open(self, setup: SetupSteps = ()) -> D:
        if open_layered := self._methods.get("open_layered"):
            namespace: D = open_layered(self.details, setup)
            return namespace
        return super().open(setup) if "open_namespace" in self._methods else self._inherited.open(setup)

    def close(self, namespace: D) -> None:
        close = self._methods.get("close_namespace") or self._inherited.close
        close(namespace)

    def keep(self, namespace: D) -> None:
        keep = self._methods.get("keep_namespace") or self._inherited.keep
        keep(namespace)

    @property
    def keeps(self) -> bool:
        return "keep_namespace" in self._methods or self._inherited.keeps

    def freeze(self) -> bool:
        freeze = self._methods.get("freeze")
        return freeze(self.details) is not False if freeze else self._inherited.freeze()
