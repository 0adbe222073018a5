"""All processes of a command: its children and their descendants, in sessions of their own, too.

A process is found in one of three ways: below the command or below `servicectx run`, which adopts orphans; by a mark
in its environment; by a session that a process of the command leads. Keepers and the processes below them are left
out: they belong to services that other users may share.
"""

import os
import signal
import sys
import time

from servicectx.system import processes
from servicectx.system.processes import Process

MARK = "SERVICECTX_RUN"  # environment variable; `keeper_link.KeeperLink` removes it for keepers
GRACE = 0.7  # seconds for processes to end by themselves
ROUNDS = 50  # rounds, for processes that were started while others were ended
KEEPER = b"servicectx.keeper"  # in the command lines of a keeper, its watchdog and its prefetcher


def end(root: int, mark: str, exclude: set[int], command: Process | None = None) -> None:
    """Send SIGTERM to all processes of the command, and SIGKILL to the ones that live after `GRACE` seconds.

    Args:
        root: the process that adopts orphans; it is not ended itself.
        mark: the value of `MARK` in the environment of the command.
        exclude: ids of processes that are left alone.
        command: the command itself, for the case that `root` is not its parent any more.
    """
    terminated: set[Process] = set()
    refused: set[Process] = set()  # processes of another user, for example through sudo
    until = time.monotonic() + GRACE
    while family := _members(root, mark, exclude, command) - refused:
        refused |= _send(family - terminated, signal.SIGTERM)
        terminated |= family
        if time.monotonic() > until:
            break
        _reap()
        time.sleep(0.01)
    for _ in range(ROUNDS):
        family = _members(root, mark, exclude, command) - refused
        if not family:
            break
        refused |= _send(family, signal.SIGKILL)
        _reap()
        time.sleep(0.005)


def _send(family: set[Process], number: int) -> set[Process]:
    """Signal these processes. Return the processes that this user may not signal."""
    refused = set()
    for process in family:
        try:
            processes.send(process, number)
        except PermissionError:
            refused.add(process)
    return refused


def _members(root: int, mark: str, exclude: set[int], command: Process | None) -> set[Process]:
    """The living processes of the command."""
    table = _table()
    roots = {root} | ({command.pid} if command is not None and processes.alive(command) else set())
    marked = {pid for pid in table if _is_marked(pid, mark)}
    found = (_below(roots, table) - {root}) | marked | (roots - {root})
    led = {pid for pid, (_, session) in table.items() if session in found}
    found = found | led | _below(marked | led, table)
    keepers = {pid for pid in table if pid not in marked and _is_keeper(pid)}
    found -= exclude | keepers | _below(keepers, table) | {os.getpid(), root}
    return {process for pid in found if (process := processes.identity(pid)) is not None}


def _table() -> dict[int, tuple[int, int]]:
    """Parent and session of every visible process."""
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
    while children := {pid for pid, (parent, _) in table.items() if parent in found} - found:
        found |= children
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
    """Collect the exit statuses of ended children; otherwise they stay as zombies."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
