"""What a service gives whose namespaces are copies that can be made ahead of demand."""

from typing import Any, Protocol, TypeVar

from servicectx.isolation.setup_step import SetupSteps

D = TypeVar("D", bound=Any, covariant=True)


class Clones(Protocol[D]):
    """Namespaces of one instance by name. Their user is known by a lock that the caller holds, not by the name."""

    def fresh_name(self) -> str: ...

    def at(self, name: str) -> D:
        """The details of the namespace of that name."""

    def source(self, layers: SetupSteps) -> str:
        """What a namespace with these set-ups is a copy of: the same text for the same set-ups."""

    def open(self, name: str, layers: SetupSteps) -> object:
        """Make it. Raises NotIsolable, SetupFailed."""

    def remake(self, name: str, new: str, source: str) -> bool:
        """Make `new` out of `name`, a copy of `source` that nobody wants any more. False: there is no `new`."""

    def rest(self) -> None:
        """Keep no connection: for a while they are made ahead of this process."""

    def close(self, name: str) -> None:
        """Remove it, whoever makes or uses it. Nothing happens when there is none."""
