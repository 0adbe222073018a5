"""Namespaces for servers that have none: a prefix of one's own, carried in the details, for all names that one uses."""

from collections.abc import Collection
from typing import Any, ClassVar, TypeVar, cast

from servicectx.isolation import owner_names
from servicectx.services.base import Service

D = TypeVar("D", bound=Any)

KEPT = "_kept"  # after a signature: the name of what says that a namespace is to stay


class Prefixed(Service[D]):
    """A service whose details have a field `prefix`, empty but in a namespace. Users put it before their names.

    Where names stay on the server, a service says which there are (`stored`) and how they go (`remove`): those of a
    namespace when it is closed, and those of makers that died when the next one is made.
    """

    namespace: ClassVar[str | None] = "a prefix for names"
    separator: ClassVar[str] = "."

    def stored(self, details: D) -> Collection[str]:
        """The names on the server, or those of them that a namespace has signed."""
        return ()

    def remove(self, details: D, names: list[str]) -> None:
        """Remove what has one of these names; what is gone already is passed over."""

    def store(self, details: D, name: str) -> None:
        """Store something under this name, whatever it is. Without it, none that is to stay outlives its maker long."""

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
