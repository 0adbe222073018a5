"""Context managers for a run and for a module, beside those of unittest for a class and for a test."""

import os
import unittest
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

from servicectx import leave_at_exit

T = TypeVar("T")

_run = ExitStack()


def enterRunContext(manager: AbstractContextManager[T]) -> T:
    """Enter a context manager for the rest of the run, and give what it gives.

    unittest says nobody when a run is over, so it is left when this process ends. The next module that asks for the
    same service finds it running and set up, and so do the other workers of a parallel run. In such a worker it is
    left when the process that started the worker ends, too: some workers outlive their run.

    Args:
        manager: `managed(...)`, as a rule.

    Raises:
        What entering it raises. Then there is nothing to leave. TypeError: it is not a context manager.
    """
    _check(manager, "enterRunContext")
    leave_at_exit(_run.close)
    return _run.enter_context(manager)


def enterModuleContext(manager: AbstractContextManager[T]) -> T:
    """As `unittest.enterModuleContext`, for `setUpModule`; and left at the end of the process where the runner forgets.

    pytest never runs the clean-ups of a unittest module; after Ctrl-C in a test, unittest does not either.

    Args:
        manager: `managed(...)` or `isolated(...)`.

    Raises:
        What entering it raises. Then there is nothing to leave. TypeError: it is not a context manager.
    """
    _check(manager, "enterModuleContext")
    leave_at_exit(_run.close)
    module = ExitStack()
    _run.callback(module.close)  # the second time, and when nothing was entered, it does nothing
    unittest.addModuleCleanup(module.close)
    return module.enter_context(manager)


def _check(manager: object, function: str) -> None:
    if not hasattr(type(manager), "__enter__"):
        call = f'{function}(managed("{manager if isinstance(manager, str) else "redis"}"))'
        raise TypeError(f"{function}() takes a context manager, not {manager!r}: write {call}")


def _forget() -> None:
    """What a parent entered, no child leaves."""
    _run.pop_all()


os.register_at_fork(after_in_child=_forget)
