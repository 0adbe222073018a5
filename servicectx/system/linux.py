"""Process control of Linux: death with the parent, and adoption of orphans. On other systems it does nothing."""

import contextlib
import os
import signal
import time

from servicectx.system import platform

_SET_PDEATHSIG = 1
_SET_NAME = 15
_SET_CHILD_SUBREAPER = 36

if platform.LINUX:
    import ctypes

    _libc = ctypes.CDLL(None, use_errno=True)

    def die_with(parent: int, number: int) -> None:
        """Let the kernel send `number` to this process when `parent` dies. For use between fork and exec."""
        _libc.prctl(_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the call
            os._exit(127)

    def adopt_orphans() -> None:
        """Become the parent of every descendant that loses its parent."""
        _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def set_name(name: str) -> None:
        """Set the name of this process in the process table: at most 15 characters. A zombie keeps it."""
        _libc.prctl(_SET_NAME, name.encode(), 0, 0, 0)

    def sync_file_system(descriptor: int) -> None:
        """Write all of the file system with that open file to its device."""
        if _libc.syncfs(descriptor) != 0:
            os.sync()

    def children() -> list[int]:
        """The ids of the child processes of this process."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat", "rb") as file:
                        parent = int(file.read().rpartition(b")")[2].split()[1])
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue
                if parent == os.getpid():
                    found.append(int(name))
        return found

else:

    def die_with(parent: int, number: int) -> None:
        pass

    def adopt_orphans() -> None:
        pass

    def set_name(name: str) -> None:
        pass

    def sync_file_system(descriptor: int) -> None:  # noqa: ARG001  # elsewhere all file systems are synced
        os.sync()

    def children() -> list[int]:
        return []


def give_way() -> None:
    """Give this process the lowest priority for the processor, which also lowers its I/O priority."""
    os.nice(19)
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def end_orphans(grace: float = 0.0) -> None:
    """Reap all children of this process, and kill them after `grace` seconds. A keeper adopts its server's orphans."""
    until = time.monotonic() + grace
    while not _is_childless() and (orphans := children()):
        if time.monotonic() < until:
            time.sleep(0.005)
            orphans = [pid for pid in orphans if _is_zombie(pid)]
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in orphans:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _is_childless() -> bool:
    """Whether this process has no children. The system call is instant; the process table takes milliseconds."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] < 0
    except ChildProcessError:
        return True


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True
