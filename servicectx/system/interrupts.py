"""Clean-up that no exception of a signal handler cuts short: Ctrl-C, a second Ctrl-C, a time limit."""

import _thread
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def run_to_end(work: Callable[[], T]) -> T:
    """Run `work`, which no exception of a signal handler can cut short, and return its result.

    Python runs signal handlers only in the main thread, so calls in that thread do the work in another thread. The
    exception of a handler is raised when the work has ended; an error of the work itself takes precedence.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    outcome: list[T] = []
    errors: list[BaseException] = []
    begun, ended = threading.Lock(), threading.Lock()
    ended.acquire()

    def run() -> None:
        if not begun.acquire(blocking=False):  # an exception arrived right after the start of the first thread
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
        except RuntimeError:  # the interpreter shuts down, or no thread can be started
            run()
        except BaseException as error:  # noqa: BLE001  # from a signal handler; raised when the work has ended
            interrupt = error
    if errors:
        raise errors[0]
    if interrupt is not None:
        raise interrupt
    return outcome[0]
