"""Namespaces for servers without any: the details carry a unique prefix for all names."""

from collections.abc import Collection
from typing import Any, ClassVar, TypeVar, cast

from servicectx.isolation import owner_names
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

    def open_namespace(self, details: D) -> D:
        stored = self.stored(details)
        kept = {owner_names.signature(name) for name in stored if name.endswith(KEPT)}
        ended = {signed for name in stored if owner_names.owner_is_dead(signed := owner_names.signature(name))} - kept
        if left := [name for name in stored if owner_names.signature(name) in ended]:
            self.remove(details, left)
        return cast("D", details.model_copy(update={"prefix": f"{owner_names.new_name()}{self.separator}"}))

    def keep_namespace(self, namespace: D) -> None:
        self.store(namespace, owner_names.signature(namespace.prefix) + KEPT)

    def close_namespace(self, namespace: D) -> None:
        mine = owner_names.signature(namespace.prefix)
        if left := [name for name in self.stored(namespace) if owner_names.signature(name) == mine]:
            self.remove(namespace, left)
