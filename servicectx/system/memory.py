"""What a running instance costs: memory of its processes, room that its data take."""

import os

from servicectx.system import platform, processes
from servicectx.system.processes import Process


def memory(process: Process | None) -> int | None:
    """Bytes held by that process and all below it; memory that they share counts once. None: it does not run."""
    if process is None or not processes.alive(process):
        return None
    return sum(_one(pid) for pid in {process.pid, *processes.descendants(process.pid)})


def _one(pid: int) -> int:
    """The proportional share where the kernel tells it, else what is resident."""
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
    """Bytes that a directory takes where it lies; what cannot be read counts nothing."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except OSError:
                continue
    return total
