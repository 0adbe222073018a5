"""Processes by identity: a process id is valid only together with its start time."""

import contextlib
import os
from typing import NamedTuple

from servicectx.system import platform, polling
from servicectx.system.descriptors import Descriptor
from servicectx.system.originals import open, time

KEEPER_NAME = "sctx-keeper"  # in the process table

_BOOT = "/proc/sys/kernel/random/boot_id"
STAT_SIZE = 4096  # bytes; /proc/PID/stat has some hundred


class Process(NamedTuple):
    """A process by id *and* start time, which a reused id does not match."""

    pid: int
    start: str


def identity(pid: int) -> Process | None:
    """The process that has `pid` now, or None. A zombie counts as gone."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else Process(pid, fields[1])


def me() -> Process:
    found = own_identity()
    assert found is not None
    return found


def own_identity() -> Process | None:
    """This process, read once; None where /proc is not mounted."""
    global _me
    if _me is None or _me.pid != os.getpid():
        _me = identity(os.getpid())
    return _me


_me: Process | None = None


def alive(process: Process | None) -> bool:
    """Whether exactly this process still runs."""
    return process is not None and identity(process.pid) == process


def send(process: Process | None, number: int) -> None:
    """Signal exactly this process, never another one with a reused id."""
    if process is None or not alive(process):
        return
    descriptor = platform.pidfd_open(process.pid)
    try:
        if descriptor is None:
            os.kill(process.pid, number)
        elif alive(process):  # checked again: the descriptor now refers to a fixed process
            platform.pidfd_signal(descriptor, number)
    except ProcessLookupError:
        pass
    finally:
        if descriptor is not None:
            os.close(descriptor)


def wait_gone(process: Process | None, seconds: float) -> bool:
    """Wait until the process is gone; False after `seconds`. The kernel reports the end where it has pidfd."""
    if process is None:
        return True
    deadline = time.monotonic() + seconds
    number = platform.pidfd_open(process.pid)
    if number is not None:
        descriptor = Descriptor(number)
        if alive(process):
            polling.is_readable(descriptor.number, deadline - time.monotonic())
        descriptor.close()
    while alive(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.002)
    return True


def all_pids() -> list[int]:
    """The ids of all visible processes."""
    if not platform.PROC:
        import psutil

        return list(psutil.pids())
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def environment(pid: int) -> list[bytes]:
    """The initial environment of a process, as NAME=VALUE; empty where this user may not read it."""
    if not platform.PROC:
        return _environment_by_psutil(pid)
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def parent(pid: int) -> int:
    """The id of the parent, or 0 where it is missing or unknown."""
    fields = _stat(pid)
    return 0 if fields is None else int(fields[2])


def reap(process: Process | None) -> None:
    """Take the exit status of exactly this process if it is a dead child of this one, so that no zombie stays.

    Orphans become children of process 1, which in a container may be a program that reaps no children. A child that
    other code waits for is never reaped: its start time differs.
    """
    if process is None:
        return
    fields = _stat(process.pid)
    if fields is not None and fields[0] == "Z" and fields[1:] == (process.start, str(os.getpid())):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def reap_keepers() -> None:
    """In process 1, take the exit status of keepers and watchdogs that outlived their parents.

    In a container without an init, no other process does this. In other processes it does nothing.
    """
    if os.getpid() != 1 or not platform.PROC:
        return
    for pid in all_pids():
        fields = _stat(pid)
        if fields is not None and fields[0] == "Z" and fields[2] == "1" and name(pid) == KEEPER_NAME:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def name(pid: int) -> str:
    """The short name of a process; "" where it is missing or unknown."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descendants(root: int) -> set[int]:
    """The ids of all descendants of `root`."""
    parents: dict[int, int] = {}
    for pid in all_pids():
        if (fields := _stat(pid)) is not None:
            parents[pid] = int(fields[2])
    found = {root}
    while children := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= children
    return found - {root}


def family(process: Process | None) -> list[Process]:
    """The descendants of exactly this process."""
    if process is None or not alive(process):
        return []
    found = [identity(pid) for pid in descendants(process.pid)]
    return [member for member in found if member is not None]


def _stat(pid: int) -> tuple[str, str, str] | None:
    """(state, start, parent) of a process."""
    if not platform.PROC:
        return _stat_by_psutil(pid)
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)  # a third of the system calls of a file
        try:
            fields = os.read(descriptor, STAT_SIZE).rpartition(b")")[2].split()
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # hidepid=1 denies the files of other users
        return None
    return fields[0].decode(), f"{_boot()}:{fields[19].decode()}", fields[1].decode()


def _stat_by_psutil(pid: int) -> tuple[str, str, str] | None:
    import psutil

    try:
        process = psutil.Process(pid)
        state = "Z" if process.status() == psutil.STATUS_ZOMBIE else "S"
        return state, repr(process.create_time()), str(process.ppid())
    except (psutil.Error, OSError):
        return None


def _environment_by_psutil(pid: int) -> list[bytes]:
    import psutil

    try:
        return [
            f"{name}={value}".encode(errors="surrogateescape") for name, value in psutil.Process(pid).environ().items()
        ]
    except (psutil.Error, OSError):
        return []


_boot_id = ""


def _boot() -> str:
    global _boot_id
    if not _boot_id:
        try:
            with open(_BOOT) as file:
                _boot_id = file.read(8)
        except OSError:
            _boot_id = "boot"
    return _boot_id
