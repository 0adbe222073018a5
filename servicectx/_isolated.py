"""The context manager that `isolated()` gives: a namespace of one's own, sync and async."""

import logging
import os
from typing import TYPE_CHECKING, Generic, TypeVar

from servicectx.services.base import Service

if TYPE_CHECKING:
    from servicectx.details.base import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")

log = logging.getLogger("servicectx")


class Isolated(Generic[D]):
    """One namespace at a time; it can be entered again after it was left."""

    def __init__(self, service: Service[D], details: D, keep: bool) -> None:
        self._service = service
        self._details = details
        self._namespace: D | None = None
        self._pid = 0
        #: Whether it is left in place at the end; may still be changed inside the block.
        self.keep = keep

    def __enter__(self) -> D:
        """The details of the fresh namespace. Raises NotIsolable, and RuntimeError when it is entered already."""
        if self._namespace is not None:
            raise RuntimeError("this isolated() object is entered already; make another one with isolated(...)")
        self._namespace = self._service.open_namespace(self._details)
        self._pid = os.getpid()
        return self._namespace

    def __exit__(self, *_: object) -> None:
        """Remove the namespace. In a forked child, and the second time, nothing happens."""
        if self._namespace is None or os.getpid() != self._pid:
            return
        namespace, self._namespace = self._namespace, None
        if self.keep:
            log.warning("kept for you: %s", namespace.url)
        else:
            try:
                self._service.close_namespace(namespace)
            except (OSError, EOFError) as error:  # gone with its server, which is somebody else's to report
                log.info("%s was not removed: %s", namespace.url.rpartition("@")[2], error)

    async def __aenter__(self) -> D:
        """As `with`, in a thread."""
        import asyncio

        entering = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            await asyncio.wait({entering})
            await asyncio.to_thread(self.__exit__)
            raise

    async def __aexit__(self, *_: object) -> None:
        import asyncio

        await asyncio.shield(asyncio.to_thread(self.__exit__))
