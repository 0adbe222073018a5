"""The mark on every process that a keeper starts: a variable in its environment that names the instance.

A keeper adopts the orphans of its server, and the watchdog the keeper's orphans. Where both were killed,
only the mark assigns a process below a shell, or in a session of its own, to its instance.
"""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from servicectx.system import processes
from servicectx.system.originals import time
from servicectx.system.processes import Process

MARK = "INSTANCE_OF_SERVICECTX"  # variables that begin with SERVICECTX_ are for callers
PASSES = 10  # a process may have forked while the table was read


def environment(directory: Path) -> dict[str, str]:
    """The variable for processes of the instance in `directory`: its home, its key and its random id."""
    return {MARK: _text(directory)}


def _text(directory: Path) -> str:
    """The path with non-ASCII bytes escaped: some servers fail on a variable that is not UTF-8."""
    return os.fsencode(directory).decode("ascii", errors="backslashreplace")


def end(directory: Path, spared: Iterable[Process | None] = (), seconds: float = 2.0) -> bool:
    """Kill the processes of that instance, except `spared`, this process and its ancestors. False: some are left.

    Only processes with the mark of exactly this directory are killed, and only where this user has the right.
    """
    until = time.monotonic() + seconds
    excluded = _ancestors() | {process.pid for process in spared if process is not None}
    for _ in range(PASSES):
        found = [process for process in _marked(directory) if process.pid not in excluded]
        if not found:
            return True
        for process in found:
            with contextlib.suppress(PermissionError):
                processes.send(process, signal.SIGKILL)
        for process in found:
            if not processes.wait_gone(process, max(0.0, until - time.monotonic())):
                return False
            processes.reap(process)
    return False


def _marked(directory: Path) -> list[Process]:
    """The processes with the mark. The identity is read before the environment, so a reused id is never killed."""
    entry = f"{MARK}={_text(directory)}".encode()
    found = []
    for pid in processes.all_pids():
        process = processes.identity(pid)
        if process is not None and entry in processes.environment(pid):
            found.append(process)
    return found


def _ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        pid = processes.parent(pid)
    return found
