"""The context manager of `isolated()`: a private namespace, sync and async."""

import logging
import os
from typing import TYPE_CHECKING, Generic, TypeVar

from servicectx._async import enter_in_thread, leave_in_thread
from servicectx.isolation.namespace import Namespace, open_namespace
from servicectx.isolation.setup_step import SetupSteps
from servicectx.services.base import Service
from servicectx.system.real_files import RealFiles

if TYPE_CHECKING:
    from servicectx.services.details import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")

# The namespace is gone together with its server, and `managed()` reports that.
GONE = (ConnectionError, TimeoutError, EOFError, FileNotFoundError)

log = logging.getLogger("servicectx")


class Isolated(Generic[D]):
    """A context manager for one namespace at a time. It can be entered again after it was left."""

    def __init__(self, service: Service[D], details: D, setup: SetupSteps, keep: bool) -> None:
        self._service = service
        self._details = details
        self._setup = setup
        self._namespace: Namespace[D] | None = None
        self._pid = 0
        #: Whether the namespace stays at the end; may be changed inside the block.
        self.keep = keep

    def __enter__(self) -> D:
        """Open a fresh namespace; its details.

        Raises:
            NotIsolable: the service has no namespaces, or cannot create one now.
            SetupFailed: a set-up raised. The namespace is removed, and the set-up may be tried again.
            RuntimeError: this object is entered already.
        """
        if self._pid == os.getpid() and self._namespace is not None:
            raise RuntimeError("this isolated() object is entered already; make another one with isolated(...)")
        with RealFiles():
            self._namespace = open_namespace(self._service, self._details, self._setup)
        self._pid = os.getpid()
        return self._namespace.details

    def __exit__(self, *_: object) -> None:
        """Remove the namespace. In a forked child, and the second time, nothing happens."""
        if self._namespace is None or os.getpid() != self._pid:
            return
        namespace, self._namespace = self._namespace, None
        try:
            with RealFiles():
                if self.keep:
                    namespace.keep()
                    command = self._service.shell_command(namespace.details)
                    log.warning("kept for you: %s (%s)", command, namespace.stays)
                else:
                    namespace.close()
        except (OSError, EOFError) as error:
            level = logging.INFO if isinstance(error, GONE) else logging.WARNING
            log.log(level, "%s was not removed: %s", namespace.details.url.rpartition("@")[2], error)

    @property
    def command(self) -> str | None:
        """Command line that connects to the open namespace, or its address; None if no namespace is open."""
        return None if self._namespace is None else self._service.shell_command(self._namespace.details)

    @property
    def stays(self) -> str | None:
        """Text: how long the open namespace would stay if it were kept; None if no namespace is open."""
        return None if self._namespace is None else self._namespace.stays

    async def __aenter__(self) -> D:
        """As `with`, in a thread. A task that is cancelled meanwhile leaves no namespace."""
        return await enter_in_thread(self.__enter__, self.__exit__)

    async def __aexit__(self, *_: object) -> None:
        await leave_in_thread(self.__exit__)
