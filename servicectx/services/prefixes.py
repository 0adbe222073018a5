"""Namespaces for servers without any: the details carry a unique prefix for all names."""

from collections.abc import Collection
from typing import Any, ClassVar, TypeVar, cast

from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.services.base import Service

D = TypeVar("D", bound=Any)

KEPT = "_kept"  # after a signature: the name of the entry that marks a namespace as kept


class Prefixed(Service[D]):
    """A service with a field `prefix` in its details, empty outside of a namespace. Users put it before their names.

    Where names stay on the server, a service implements `stored` and `remove`. The names of a namespace are removed
    when it is closed. The names of a dead owner are removed when the next namespace is opened.
    """

    namespace: ClassVar[str | None] = "a prefix for names"
    separator: ClassVar[str] = "."

    def stored(self, details: D) -> Collection[str]:
        """The names on the server, or at least the names with a namespace's signature."""
        return ()

    def remove(self, details: D, names: list[str]) -> None:
        """Remove the items with these names; missing items are ignored."""

    def store(self, details: D, name: str) -> None:
        """Store any item under this name. Without an override, a kept namespace does not outlive its owner for long."""

    def isolation(self, details: D, data: str = "") -> Isolation[D]:
        return Prefixes(self, details)


class Prefixes(Isolation[D]):
    """The namespaces of a `Prefixed` service."""

    def __init__(self, service: Prefixed[D], details: D) -> None:
        super().__init__(details)
        self.service = service

    def create(self) -> D:
        stored = self.service.stored(self.details)
        kept = {owner_names.signature(name) for name in stored if name.endswith(KEPT)}
        ended = {signed for name in stored if owner_names.owner_is_dead(signed := owner_names.signature(name))} - kept
        if left := [name for name in stored if owner_names.signature(name) in ended]:
            self.service.remove(self.details, left)
        prefix = f"{owner_names.new_name()}{self.service.separator}"
        return cast("D", self.details.model_copy(update={"prefix": prefix}))

    def close(self, namespace: D) -> None:
        mine = owner_names.signature(namespace.prefix)
        if left := [name for name in self.service.stored(namespace) if owner_names.signature(name) == mine]:
            self.service.remove(namespace, left)

    def keep(self, namespace: D) -> None:
        self.service.store(namespace, owner_names.signature(namespace.prefix) + KEPT)
