"""Clean-up that runs to its end, whatever signal handlers raise meanwhile: Ctrl-C, a second one, a time limit."""

import _thread
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
    begun, ended = threading.Lock(), threading.Lock()
    ended.acquire()

    def run() -> None:
        if not begun.acquire(blocking=False):  # an exception came just after the first thread was started
            return
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  # raised again below, in the thread of the caller
            errors.append(error)
        finally:
            ended.release()

    interrupt: BaseException | None = None
    started = False
    while not (outcome or errors):
        try:
            if not started:  # `Thread.start` waits, and could be interrupted there
                _thread.start_new_thread(run, ())
                started = True
            ended.acquire()
        except RuntimeError:  # the interpreter shuts down, or no thread can be had
            run()
        except BaseException as error:  # noqa: BLE001  # from a signal handler; raised when the work has ended
            interrupt = error
    if errors:
        raise errors[0]
    if interrupt is not None:
        raise interrupt
    return outcome[0]
