"""The interface of a service with namespaces that are copies and can be prefetched."""

from typing import Any, Protocol, TypeVar

from servicectx.isolation.setup_step import SetupSteps

D = TypeVar("D", bound=Any, covariant=True)


class Clones(Protocol[D]):
    """Namespaces of one instance by name. A lock of the caller, not the name, marks a namespace as used."""

    def fresh_name(self) -> str: ...

    def at(self, name: str) -> D:
        """The details of the namespace `name`."""

    def source(self, layers: SetupSteps) -> str:
        """The identifier of the source for namespaces with these set-ups: the same text for the same set-ups."""

    def open(self, name: str, layers: SetupSteps) -> object:
        """Create the namespace `name`. Raises NotIsolable, SetupFailed."""

    def remake(self, name: str, new: str, source: str) -> bool:
        """Make `new` out of `name`, a returned copy of `source`. False: `new` was not made."""

    def rest(self) -> None:
        """Close the connection: for a while the prefetcher creates the namespaces."""

    def close(self, name: str) -> None:
        """Remove the namespace `name`, even while it is being made or used. No effect when it is missing."""
