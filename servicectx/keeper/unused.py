"""The wait for the last user, in a thread beside the keeper's other waits."""

import os
import threading

from servicectx.state.instance import Instance
from servicectx.system.originals import select
from servicectx.system.persistence import Pause
from servicectx.system.reserve import Reserve


class UnusedWaiter:
    """One thread that waits until no lease is held and then writes to a pipe. It retries every fault.

    Thread and pipe are made once, because a keeper may have no free descriptor later. Without a thread, `is_unused`
    counts the leases itself.
    """

    def __init__(self, instance: Instance, id: str, reserve: Reserve) -> None:
        self._instance = instance
        self._id = id
        self._reserve = reserve
        self._pending = False
        self._requests = threading.Semaphore(0)
        self.descriptor, self._writing = os.pipe()
        try:
            threading.Thread(target=self._run, daemon=True).start()
            self.polls = False
        except RuntimeError:  # no thread can be started
            self.polls = True

    def begin(self) -> None:
        """Start to wait. A call during the wait has no effect."""
        if not self._pending:
            self._pending = True
            self._requests.release()

    def is_unused(self) -> bool:
        """Whether no lease was held at one moment since `begin`."""
        if self.polls:
            unused = not self._instance.is_used(self._id)
        else:
            poller = select.poll()
            poller.register(self.descriptor, select.POLLIN)
            unused = bool(poller.poll(0)) and bool(os.read(self.descriptor, 1))
        self._pending = self._pending and not unused
        return unused

    def _run(self) -> None:
        while True:
            self._requests.acquire()
            pause = Pause()
            while True:
                try:
                    self._instance.wait_until_unused(self._id)
                    break
                except OSError as error:
                    self._reserve.release()
                    pause.after(error)
            os.write(self._writing, b"\n")
