"""The cost of a running instance: the memory of its processes, and the disk space of its data."""

import os

from servicectx.system import platform, processes
from servicectx.system.processes import Process


def memory(process: Process | None) -> int | None:
    """Bytes of memory of the process and its descendants; shared memory counts once. None: it does not run."""
    if process is None or not processes.alive(process):
        return None
    return sum(_one(pid) for pid in {process.pid, *processes.descendants(process.pid)})


def _one(pid: int) -> int:
    """The proportional set size where the kernel has it, else the resident set size."""
    import psutil

    try:
        with open(f"/proc/{pid}/smaps_rollup" if platform.PROC else os.devnull, "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def room(folder: str | os.PathLike[str]) -> int:
    """Bytes on disk of all files of a directory; unreadable files are skipped."""
    total = 0
    for directory, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
            except OSError:
                continue
    return total
