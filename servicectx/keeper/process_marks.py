"""The mark on every process that a keeper starts: a variable in its environment that names the instance.

A keeper adopts what its server leaves behind, and its watchdog adopts what the keeper leaves. Where both were killed,
nothing but the mark says whose a process below a shell, or in a session of its own, is.
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
    """What a process of the instance in `directory` gets: home, key and id, which is random."""
    return {MARK: _text(directory)}


def _text(directory: Path) -> str:
    """The path, with what is not ASCII escaped: some servers end at a variable that is not UTF-8."""
    return os.fsencode(directory).decode("ascii", errors="backslashreplace")


def end(directory: Path, spared: Iterable[Process | None] = (), seconds: float = 2.0) -> bool:
    """Kill the processes of that instance, but for the `spared`, this one and its ancestors. False: some are left.

    Only processes that carry the mark for this very directory are ended, and only where this user may.
    """
    until = time.monotonic() + seconds
    kept = _ancestors() | {process.pid for process in spared if process is not None}
    for _ in range(PASSES):
        found = [process for process in _marked(directory) if process.pid not in kept]
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
    """By identity first: should the id be another process's by the time its environment is read, nobody is ended."""
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
