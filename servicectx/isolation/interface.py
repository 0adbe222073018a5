"""The interface for namespaces: `Isolation`, which a service returns, and `Clones`, for services that prefetch them."""

from typing import Any, Generic, Protocol, TypeVar

from servicectx.errors import NotIsolable
from servicectx.isolation.setup_step import SetupSteps

D = TypeVar("D", bound=Any)
C = TypeVar("C", bound=Any, covariant=True)

NO_NAMESPACES = "this service has no namespaces"


class Isolation(Generic[D]):
    """The namespaces of one running instance: private parts of a shared server.

    A subclass implements `create`, and `close` where a namespace leaves anything on the server. The names of namespaces
    come from `owner_names.new_name()`. `details` belong to the instance, or to a namespace in it.
    """

    def __init__(self, details: D) -> None:
        self.details = details

    def create(self) -> D:
        """Create an empty namespace and return its details. Namespaces of dead owners are removed first.

        Raises NotIsolable.
        """
        raise NotIsolable(service=self.details.service, reason=NO_NAMESPACES)

    def open(self, setup: SetupSteps = ()) -> D:
        """Create a namespace in which the set-ups have run, and return its details. Raises NotIsolable, SetupFailed.

        A service that can copy a namespace overrides this method and runs each set-up only once.
        """
        namespace = self.create()
        try:
            for step in setup:
                step.run(namespace)
        except BaseException:
            self.close(namespace)
            raise
        return namespace

    def close(self, namespace: D) -> None:
        """Remove a namespace, even while clients use it. A missing namespace is not an error."""

    def keep(self, namespace: D) -> None:
        """Protect a namespace from the removal that follows the death of its owner process."""

    def forget_earlier(self) -> None:
        """Remove the namespaces that earlier instances left in persistent data, and their templates, except kept ones.

        Called at the start, before any user has the details: no namespace is in use.
        """

    @property
    def keeps(self) -> bool:
        """Whether `keep` protects a namespace. Without an override of `keep` it does not."""
        return type(self).keep is not Isolation.keep

    def freeze(self) -> bool:
        """Store the state that namespaces will be copies of. Called once, right after the set-up of the instance.

        False: the state could not be stored. Then no snapshot is stored either, and the next start repeats the set-up.
        """
        return True

    def clones(self) -> "Clones[D] | None":
        """The namespaces by name, for a service that can copy them ahead of demand. None: the service cannot."""
        return None


class Clones(Protocol[C]):
    """Namespaces of one instance by name. A lock of the caller, not the name, marks a namespace as used."""

    def new_name(self) -> str: ...

    def details_of(self, name: str) -> C:
        """The details of the namespace `name`."""

    def source(self, setup: SetupSteps) -> str:
        """The identifier of the source for namespaces with these set-ups: the same text for the same set-ups."""

    def create(self, name: str, setup: SetupSteps) -> object:
        """Create the namespace `name`. Raises NotIsolable, SetupFailed."""

    def recycle(self, name: str, new: str, source: str) -> bool:
        """Make `new` out of `name`, a returned copy of `source`. False: `new` was not made."""

    def disconnect(self) -> None:
        """Close the connection: for a while the prefetcher creates the namespaces."""

    def drop(self, name: str) -> None:
        """Remove the namespace `name`, even while it is being made or used. No effect when it is missing."""
