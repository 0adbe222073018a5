"""One attempt to acquire an instance: its request, its deadline, and the leases that it took so far."""

import threading
from typing import Any

from servicectx.errors import StartFailed, StartTimeout
from servicectx.request import persistent_data
from servicectx.request.request import Request
from servicectx.state import paths
from servicectx.state.instance import Instance
from servicectx.state.leases import Releasable
from servicectx.system.originals import time

KEEPER_TRIES = 3  # starts whose keeper was killed, which is not a failure of the service
SHORTEST_WAIT, LONGEST_WAIT = 0.001, 0.02  # seconds between two looks


class Cancelled(BaseException):
    """The caller cancelled the attempt: its task was cancelled."""


class Attempt:
    """`began`: a monotonic time. Raises HomeError, BinaryNotFound, InvalidOption."""

    def __init__(self, request: Request[Any], began: float, cancelled: threading.Event, held: list[Releasable]) -> None:
        self.request, self.program = _located(request)
        setup = request.setup_text()
        self.setup = request.setup_record(setup)
        persistent_data.check_setup(self.request, self.setup)
        self.instance = Instance(paths.home(), self.request.key(self.program, setup))
        self.began = began
        self.deadline = began + request.timeout
        self.cancelled = cancelled
        self.held = held
        self.keepers_lost = 0
        self.death_record_due = self.deadline

    def locate(self) -> None:
        """Look for persistent data again: another process may have made it meanwhile. Raises KeptDataError."""
        if self.request.persist:
            self.request, self.program = _located(self.request)
            persistent_data.check_setup(self.request, self.setup)

    def check_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled

    def count_lost_keeper(self, log_tail: str) -> None:
        """Raises StartFailed once `KEEPER_TRIES` keepers were killed."""
        self.keepers_lost += 1
        if self.keepers_lost == KEEPER_TRIES:
            raise self.failed(f"its keeper was killed {KEEPER_TRIES} times", log_tail) from None

    def failed(self, reason: str, log_tail: str = "") -> StartFailed:
        return StartFailed(service=self.request.service.name, name=self.request.name, reason=reason, log_tail=log_tail)

    def timed_out(self, waiting_for: str) -> StartTimeout:
        return StartTimeout(
            service=self.request.service.name,
            name=self.request.name,
            timeout=self.request.timeout,
            waited=time.monotonic() - self.began,
            waiting_for=waiting_for,
        )


def _located(request: Request[Any]) -> tuple[Request[Any], str]:
    """The request with its persistent data, if it has some, and the program for it."""
    found = request.located()
    program = found.program()
    return found.with_what_can_be_kept(program), program


class Backoff:
    """Pauses between two looks at an instance that another process starts or stops."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._pause = SHORTEST_WAIT

    def wait(self) -> None:
        """Raises Cancelled; StartTimeout, which names the process that holds the key's lock."""
        self._attempt.check_cancelled()
        if time.monotonic() > self._attempt.deadline:
            holder = self._attempt.instance.holder()
            raise self._attempt.timed_out(f"another process starts or stops it: {holder}")
        time.sleep(self._pause)
        self._pause = min(self._pause * 1.5, LONGEST_WAIT)
