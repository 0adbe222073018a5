"""The readiness check of a service that runs in the caller's process, such as a callable `ready`."""

from collections.abc import Callable
from typing import Any

from servicectx.request.request import Request
from servicectx.system.originals import time

PAUSE = 0.02  # seconds between two checks


def wait_until_ready(
    request: Request[Any],
    details: Any,
    deadline: float,
    timed_out: Callable[[str], Exception],
    interrupt: Callable[[], None],
) -> None:
    """Repeat `Service.check` until it passes. At the monotonic time `deadline`, raise `timed_out(problem)`.

    `interrupt` runs after each check that did not pass, and raises for a reason to stop.
    """
    problem = "its readiness check gave false"
    while True:
        try:
            if request.service.check(request.options, details):
                return
        except Exception as error:  # noqa: BLE001  # the user's code, and not connected yet, most likely
            problem = f"its readiness check raised {type(error).__name__}: {error}"
        interrupt()
        if time.monotonic() > deadline:
            raise timed_out(problem)
        time.sleep(PAUSE)
