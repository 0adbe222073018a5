"""The end of this process, and of the one that it works for: for adapters whose framework tells nobody."""

import atexit
import contextlib
import os
from collections.abc import Callable

from servicectx.system.descriptors import identity

PAUSE = 0.5  # seconds between two looks for a parent that may be gone

_known: list[Callable[[], object]] = []


def leave_at_exit(leave: Callable[[], object]) -> None:
    """Have `leave` called when this process ends, and in a worker of multiprocessing also when its parent has ended.

    Some workers outlive their run, and one that was waiting in a queue may still start something, so from then on
    `leave` is called again and again, in a thread; what it raises there is dropped. The second time for the same
    `leave` nothing happens; a forked child starts afresh. Exit hooks run backwards: ask when there is something to
    leave, so that whoever made it is still there.
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
    """A forked sibling may hold the other end of the sentinel, so that it stays silent; then the number tells."""
    from multiprocessing import connection

    from servicectx.system.originals import time

    before = identity(sentinel)
    while os.getppid() == parent:
        if before is not None and identity(sentinel) == before:
            connection.wait([sentinel], PAUSE)
        else:  # user code closed it, and may have opened a file of its own under that number
            time.sleep(PAUSE)
    while True:
        with contextlib.suppress(Exception):
            leave()
        time.sleep(PAUSE)


os.register_at_fork(after_in_child=_known.clear)
