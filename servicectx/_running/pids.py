"""Processes by identity: a process id counts only together with the moment when that process began."""

import os
import signal
import sys
import time

from servicectx._sharing.state import Process
from servicectx.system import polling
from servicectx.system.descriptors import Descriptor

_BOOT = "/proc/sys/kernel/random/boot_id"


def identity(pid: int) -> Process | None:
    """The process that has `pid` now, or None when there is none. A zombie counts as gone."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else Process(pid, fields[1])


def me() -> Process:
    found = identity(os.getpid())
    assert found is not None
    return found


def alive(process: Process | None) -> bool:
    """Whether that very process still runs."""
    return process is not None and identity(process.pid) == process


def send(process: Process | None, number: int) -> None:
    """Signal that very process, and never another that got its id."""
    if process is None or not alive(process):
        return
    try:
        if not hasattr(signal, "pidfd_send_signal"):
            os.kill(process.pid, number)
            return
        descriptor = os.pidfd_open(process.pid)
        try:
            if alive(process):  # looked at once more: the descriptor now holds the process fast
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
    except ProcessLookupError:
        pass


def wait_gone(process: Process | None, seconds: float) -> bool:
    """Whether that process is gone within `seconds`; learnt from the kernel where it tells (pidfd)."""
    if process is None:
        return True
    deadline = time.monotonic() + seconds
    try:
        descriptor = Descriptor(os.pidfd_open(process.pid))
    except (AttributeError, OSError):
        descriptor = None
    if descriptor is not None:
        if alive(process):
            polling.is_readable(descriptor.number, deadline - time.monotonic())
        descriptor.close()
    while alive(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.002)
    return True


def descendants(root: int) -> set[int]:
    """The processes below `root` (Linux; elsewhere none are known)."""
    parents: dict[int, int] = {}
    for name in _numbers():
        if (fields := _stat(int(name))) is not None:
            parents[int(name)] = int(fields[2])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def _numbers() -> list[str]:
    """The process ids that can be seen (Linux)."""
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()] if sys.platform == "linux" else []
    except OSError:
        return []


def _stat(pid: int) -> tuple[str, str, str] | None:
    """(state, start, parent) of a process."""
    if sys.platform != "linux":
        return _ask_psutil(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # hidepid=1 denies those of other users
        return None
    return fields[0].decode(), f"{_boot()}:{fields[19].decode()}", fields[1].decode()


def _ask_psutil(pid: int) -> tuple[str, str, str] | None:
    import psutil

    try:
        process = psutil.Process(pid)
        state = "Z" if process.status() == psutil.STATUS_ZOMBIE else "S"
        return state, repr(process.create_time()), str(process.ppid())
    except (psutil.Error, OSError):
        return None


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
