"""The context manager that `isolated()` gives: a namespace of one's own, sync and async."""

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Generic, TypeVar

from servicectx.isolation.namespace import Namespace, open_namespace
from servicectx.isolation.setup_step import SetupSteps
from servicectx.services.base import Service
from servicectx.system.real_files import RealFiles

if TYPE_CHECKING:
    from servicectx.services.details import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")

# The namespace went with its server, which is somebody else's to report.
GONE = (ConnectionError, TimeoutError, EOFError, FileNotFoundError)

log = logging.getLogger("servicectx")


class Isolated(Generic[D]):
    """One namespace at a time; it can be entered again after it was left."""

    def __init__(self, service: Service[D], details: D, layers: SetupSteps, keep: bool) -> None:
        self._service = service
        self._details = details
        self._layers = layers
        self._namespace: Namespace[D] | None = None
        self._pid = 0
        #: Whether it is left in place at the end; may still be changed inside the block.
        self.keep = keep

    def __enter__(self) -> D:
        """The details of the fresh namespace.

        Raises:
            NotIsolable: this service has no namespaces, or cannot make one now.
            SetupFailed: one of the set-ups raised. Nothing of it is left, and others may try.
            RuntimeError: this object is entered already.
        """
        if self._pid == os.getpid() and self._namespace is not None:
            raise RuntimeError("this isolated() object is entered already; make another one with isolated(...)")
        with RealFiles():
            self._namespace = open_namespace(self._service, self._details, self._layers)
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
        """How people connect to the namespace while it is there: a command line, or its address."""
        return None if self._namespace is None else self._service.shell_command(self._namespace.details)

    @property
    def stays(self) -> str | None:
        """How long it would stay if it were kept, in words, while it is there."""
        return None if self._namespace is None else self._namespace.stays

    async def __aenter__(self) -> D:
        """As `with`, in a thread. A task that is cancelled while it waits leaves nothing behind."""
        import asyncio
        import contextvars

        # A future and no task: a loop that is closing cancels all tasks, and this one's thread would go on unheard.
        context = contextvars.copy_context()
        entering = asyncio.get_running_loop().run_in_executor(None, context.run, self.__enter__)
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            while not entering.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({entering})
            if entering.exception() is None:
                await asyncio.to_thread(self.__exit__)
            raise

    async def __aexit__(self, *_: object) -> None:
        import asyncio

        await asyncio.shield(asyncio.to_thread(self.__exit__))
