"""The keeper's view of the requests for a restart, with a descriptor to poll."""

import contextlib
import os
import signal
from typing import Any

from servicectx.errors import HomeError
from servicectx.state.instance import Instance
from servicectx.state.restart_requests import Pending, RestartRequests


class RestartInbox:
    """The requests of users. SIGUSR1 makes `descriptor` readable: a requester sends it after it wrote its request."""

    def __init__(self, instance: Instance, id: str) -> None:
        self._requests = RestartRequests(instance.directory(id))
        self.descriptor, writing = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        os.write(writing, b"\0")  # a request may have come before

    def is_woken(self) -> bool:
        """Whether a signal came since the last call."""
        try:
            return bool(os.read(self.descriptor, 4096))
        except BlockingIOError:
            return False

    def pending(self) -> list[Pending]:
        return self._requests.pending()

    def answer(self, request: Pending, record: dict[str, Any]) -> None:
        """Answer a request. In a full home its requester sees the restart by the process, or waits in vain."""
        with contextlib.suppress(HomeError, OSError):
            self._requests.answer(request.name, record)
