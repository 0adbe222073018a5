"""Context managers for a run and for a module. unittest itself has them for a class and for a test."""

import os
import unittest
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

from servicectx import leave_at_exit

T = TypeVar("T")

_run = ExitStack()


def enterRunContext(manager: AbstractContextManager[T]) -> T:
    """Enter a context manager for the rest of the run, and return its value.

    unittest has no event for the end of a run, so the context is left when this process ends. The next module that
    requests the same service finds it running and set up; so do the other workers of a parallel run. A worker leaves
    the context as well when its parent process ends, because some workers outlive their run.

    Args:
        manager: usually `managed(...)`.

    Raises:
        TypeError: `manager` is not a context manager.
        Any error of entering `manager`. Then there is nothing to leave.
    """
    _check(manager, "enterRunContext")
    leave_at_exit(_run.close)
    return _run.enter_context(manager)


def enterModuleContext(manager: AbstractContextManager[T]) -> T:
    """As `unittest.enterModuleContext`, for `setUpModule`, but also left at the end of the process.

    pytest never runs the clean-ups of a unittest module. After Ctrl-C in a test, unittest does not either.

    Args:
        manager: `managed(...)` or `isolated(...)`.

    Raises:
        TypeError: `manager` is not a context manager.
        Any error of entering `manager`. Then there is nothing to leave.
    """
    _check(manager, "enterModuleContext")
    leave_at_exit(_run.close)
    module = ExitStack()
    _run.callback(module.close)  # idempotent, and without effect if nothing was entered
    unittest.addModuleCleanup(module.close)
    return module.enter_context(manager)


def _check(manager: object, function: str) -> None:
    if not hasattr(type(manager), "__enter__"):
        call = f'{function}(managed("{manager if isinstance(manager, str) else "redis"}"))'
        raise TypeError(f"{function}() takes a context manager, not {manager!r}: write {call}")


def _forget() -> None:
    """A forked child must not leave contexts of its parent."""
    _run.pop_all()


os.register_at_fork(after_in_child=_forget)
