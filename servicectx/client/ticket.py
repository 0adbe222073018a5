"""The ticket: a text by which another process of this user claims an instance, too."""

import os
from pathlib import Path
from types import TracebackType

from servicectx.client.claim import Claim
from servicectx.errors import ServiceDied
from servicectx.state.instance import Instance
from servicectx.state.record import READY, State, StateError
from servicectx.system import processes
from servicectx.system.originals import json
from servicectx.system.real_files import RealFiles


def ticket_for(instance: Instance, state: State) -> str:
    return json.dumps([str(instance.home), instance.key, state.id])


def redeem(ticket: str) -> Claim:
    """A claim on the instance that the ticket names. Raises ServiceDied when that instance does not run any more."""
    home, key, id = json.loads(ticket)
    instance = Instance(Path(home), key)
    lease = instance.lease(id, processes.me().start)  # first claim, then look: the keeper does the reverse
    try:
        state = instance.look() if lease is not None else None
    except StateError:
        state = None
    if lease is not None and state is not None and state.id == id and state.phase == READY:
        return Claim(instance, state, lease)
    if lease is not None:
        lease.release()
    raise ServiceDied(service=key.partition("-")[0], reason="the instance of the ticket does not run any more")


class HoldContext:
    """The context manager that `hold()` returns."""

    def __init__(self, ticket: str) -> None:
        self._ticket = ticket
        self._claim: Claim | None = None
        self._pid = 0

    def __enter__(self) -> None:
        """Raises ServiceDied when the instance does not run any more; RuntimeError when this object is entered."""
        if self._claim is not None:
            raise RuntimeError("this hold() object is entered already; make another one with hold(...)")
        with RealFiles():
            self._claim = redeem(self._ticket)
        self._pid = os.getpid()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As leaving `managed()`. In a forked child, and the second time, nothing happens."""
        if self._claim is not None and os.getpid() == self._pid:
            claim, self._claim = self._claim, None
            with RealFiles():
                claim.leave()
