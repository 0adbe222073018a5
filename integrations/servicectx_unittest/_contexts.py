"""Context managers for a run and for a module, beside those of unittest for a class and for a test."""

import atexit
import contextlib
import functools
import multiprocessing
import os
import threading
import time
import unittest
from contextlib import AbstractContextManager, ExitStack
from multiprocessing import connection
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.5  # seconds between two looks for a parent that may be gone

_run = ExitStack()


def enterRunContext(manager: AbstractContextManager[T]) -> T:
    """Enter a context manager for the rest of the run, and give what it gives.

    unittest says nobody when a run is over, so it is left when this process ends. The next module that asks for the
    same service finds it running and set up, and so do the other workers of a parallel run. In such a worker it is
    left when the process that started the worker ends, too: some workers outlive their run.

    Args:
        manager: `managed(...)`, as a rule.

    Raises:
        What entering it raises. Then there is nothing to leave.
    """
    _leave_at_exit()
    return _run.enter_context(manager)


def enterModuleContext(manager: AbstractContextManager[T]) -> T:
    """As `unittest.enterModuleContext`, for `setUpModule`; and left at the end of the process where the runner forgets.

    pytest never runs the clean-ups of a unittest module; after Ctrl-C in a test, unittest does not either.

    Args:
        manager: `managed(...)` or `isolated(...)`.

    Raises:
        What entering it raises. Then there is nothing to leave.
    """
    _leave_at_exit()
    module = ExitStack()
    given = module.enter_context(manager)
    unittest.addModuleCleanup(module.close)
    _run.callback(module.close)  # the second time, it does nothing
    return given


@functools.cache
def _leave_at_exit() -> None:
    """Only now that there is something to enter: exit hooks run backwards, and whoever made it may have one, too."""
    atexit.register(_run.close)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(os.getppid(), parent.sentinel), daemon=True).start()


def _leave_with(parent: int, sentinel: int) -> None:
    """A forked sibling may hold the other end of the sentinel, so that it stays silent; then the number tells."""
    while os.getppid() == parent:
        connection.wait([sentinel], PAUSE)
    while True:  # a test that was waiting in a queue may still run
        with contextlib.suppress(Exception):  # of a namespace whose server is gone already
            _run.close()
        time.sleep(PAUSE)


def _forget() -> None:
    """What a parent entered, no child leaves."""
    _run.pop_all()
    _leave_at_exit.cache_clear()


os.register_at_fork(after_in_child=_forget)
