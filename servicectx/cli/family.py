"""All processes of a command: what it started, and what these started, also in sessions of their own.

They are found in three ways: below the command or below `servicectx run`, which adopts orphans; by a mark in their
environment; by a session that one of them leads. Keepers and what runs below them belong to the services, which other
users may share, and are left out.
"""

import os
import signal
import sys
import time

from servicectx.system import processes
from servicectx.system.processes import Process

MARK = "SERVICECTX_RUN"  # the variable; `launch.Launch` keeps it from keepers
GRACE = 0.7  # seconds for processes to end by themselves
ROUNDS = 50  # looks for processes that were started while others were ended
KEEPER = b"servicectx.keeper"  # in the command line of a keeper, its watchdog and its helpers


def end(root: int, mark: str, spared: set[int], also: Process | None = None) -> None:
    """Ask all processes of the command to end, and kill those that go on after `GRACE` seconds.

    `root`: the process that adopts orphans, which is not ended itself. `also`: the command, where `root` is dead.
    """
    asked: set[Process] = set()
    refused: set[Process] = set()  # another user's, through sudo say
    until = time.monotonic() + GRACE
    while family := _members(root, mark, spared, also) - refused:
        refused |= _send(family - asked, signal.SIGTERM)
        asked |= family
        if time.monotonic() > until:
            break
        _reap()
        time.sleep(0.01)
    for _ in range(ROUNDS):
        family = _members(root, mark, spared, also) - refused
        if not family:
            break
        refused |= _send(family, signal.SIGKILL)
        _reap()
        time.sleep(0.005)


def _send(family: set[Process], number: int) -> set[Process]:
    """Signal these processes; the ones that this user may not signal."""
    refused = set()
    for process in family:
        try:
            processes.send(process, number)
        except PermissionError:
            refused.add(process)
    return refused


def _members(root: int, mark: str, spared: set[int], also: Process | None) -> set[Process]:
    """The living processes of the command."""
    table = _table()
    roots = {root} | ({also.pid} if also is not None and processes.alive(also) else set())
    marked = {pid for pid in table if _is_marked(pid, mark)}
    found = (_below(roots, table) - {root}) | marked | (roots - {root})
    led = {pid for pid, (_, session) in table.items() if session in found}
    found = found | led | _below(marked | led, table)
    keepers = {pid for pid in table if pid not in marked and _is_keeper(pid)}
    found -= spared | keepers | _below(keepers, table) | {os.getpid(), root}
    return {process for pid in found if (process := processes.identity(pid)) is not None}


def _table() -> dict[int, tuple[int, int]]:
    """Parent and session of every process that can be seen."""
    found = {}
    try:
        names = os.listdir("/proc") if sys.platform == "linux" else []
    except OSError:
        names = []
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            found[int(name)] = (int(fields[1]), int(fields[3]))
    return found


def _below(roots: set[int], table: dict[int, tuple[int, int]]) -> set[int]:
    found = set(roots)
    while more := {pid for pid, (parent, _) in table.items() if parent in found} - found:
        found |= more
    return found


def _is_marked(pid: int, mark: str) -> bool:
    return mark.encode() in _read(f"/proc/{pid}/environ")


def _is_keeper(pid: int) -> bool:
    return KEEPER in _read(f"/proc/{pid}/cmdline")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _reap() -> None:
    """Take the exit statuses of children that have ended, or they would stay as zombies."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
