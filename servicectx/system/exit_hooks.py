"""Hooks for the end of this process and of its parent, for frameworks that do not announce their end."""

import atexit
import contextlib
import os
from collections.abc import Callable

from servicectx.system.descriptors import identity

PAUSE = 0.5  # seconds between two checks of the parent

_known: list[Callable[[], object]] = []


def leave_at_exit(leave: Callable[[], object]) -> None:
    """Call `leave` when this process ends, and in a worker of multiprocessing also when its parent has ended.

    Some workers outlive their parent, and a worker that waits in a queue may still start a service. So after the end of
    the parent, a thread calls `leave` repeatedly, and drops its exceptions. A second call with the same `leave` does
    nothing; a forked child begins without hooks. Exit hooks run in reverse order, so register only once a service is
    held: then the modules that it needs are still alive.
    """
    if leave in _known:
        return
    _known.append(leave)
    atexit.register(leave)
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        import threading

        threading.Thread(target=_leave_with, args=(os.getppid(), parent.sentinel, leave), daemon=True).start()


def _leave_with(parent: int, sentinel: int, leave: Callable[[], object]) -> None:
    """Wait for the parent's end. The sentinel may stay open in a forked sibling, so the parent id is polled, too."""
    from multiprocessing import connection

    from servicectx.system.originals import time

    before = identity(sentinel)
    while os.getppid() == parent:
        if before is not None and identity(sentinel) == before:
            connection.wait([sentinel], PAUSE)
        else:  # user code closed it, and may have reused the number
            time.sleep(PAUSE)
    while True:
        with contextlib.suppress(Exception):
            leave()
        time.sleep(PAUSE)


os.register_at_fork(after_in_child=_known.clear)
