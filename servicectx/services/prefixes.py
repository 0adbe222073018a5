"""Namespaces for servers that have none: a prefix of one's own, carried in the details, for all names that one uses."""

from typing import Any, TypeVar, cast

from servicectx.services import makers
from servicectx.services.base import Service

D = TypeVar("D", bound=Any)


class Prefixed(Service[D]):
    """A service whose details have a field `prefix`, empty but in a namespace. Users put it before their names."""

    separator = "."

    def open_namespace(self, details: D) -> D:
        return cast("D", details.model_copy(update={"prefix": f"{makers.sign()}{self.separator}"}))

    def close_namespace(self, namespace: D) -> None:
        """A service that can remove whatever begins with the prefix does it here. Others forget it when they end."""
