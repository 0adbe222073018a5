"""Clean-up that runs to its end, whatever signal handlers raise meanwhile: Ctrl-C, a second one, a time limit."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def run_to_end(work: Callable[[], T]) -> T:
    """The result of `work`, which no exception of a signal handler can cut short.

    Python runs signal handlers in the main thread alone, so there the work is done by another thread. What a handler
    raised is raised when the work has ended; an error of the work itself comes first.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    outcome: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  # raised again below, in the thread of the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="servicectx clean-up")
    try:
        thread.start()
    except RuntimeError:  # the interpreter shuts down, or no thread can be had
        return work()
    interrupt: BaseException | None = None
    while thread.is_alive():
        try:
            thread.join()
        except BaseException as error:  # noqa: BLE001  # from a signal handler; raised when the work has ended
            interrupt = error
    if errors:
        raise errors[0]
    if interrupt is not None:
        raise interrupt
    return outcome[0]
