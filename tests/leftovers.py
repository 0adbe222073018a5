"""What an instance left behind, seen without the library: the process table and directory listings."""

import os
import time
from pathlib import Path

import psutil

from tests.detector import EMPTY, OWN


def processes(*places: Path) -> list[psutil.Process]:
    """The processes that work in, were started from, were told of, or inherited one of `places`; this one left out."""
    texts = [str(place) for place in places]
    found = []
    for pid in psutil.pids():
        if pid != os.getpid() and any(text in said for said in _sayings(pid) for text in texts):
            try:
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
    return found


def command_lines(*places: Path) -> list[str]:
    """The command lines of `processes`, of those that still live."""
    found = []
    for process in processes(*places):
        try:
            found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def files(home: Path) -> list[str]:
    """What lies in a home, the library's empty directories and their markers left out."""
    if not home.is_dir() or home.is_symlink():
        return []
    found = [*home.iterdir(), *home.glob(f"{OWN}/*"), *home.glob(f"{OWN}/data/*")]
    return sorted(str(path) for path in found if str(path.relative_to(home)) not in EMPTY)


def wait_for_none(home: Path, seconds: float) -> list[str]:
    """What is still there after at most `seconds`, in words."""
    deadline = time.monotonic() + seconds
    while True:
        left = [f"process {_shown(process)}" for process in processes(home)] + files(home)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def end(*places: Path) -> None:
    """Kill what `processes` finds."""
    for process in processes(*places):
        try:
            process.kill()
            process.wait(5)
        except psutil.Error:
            continue


def _shown(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())[:300]}"
    except psutil.Error:
        return f"{process.pid}, just gone"


def _sayings(pid: int) -> list[str]:
    """Command line, environment, working directory and program of a process."""
    if Path("/proc/self/environ").exists():  # psutil takes five times as long for the same
        said = []
        for name in ("cmdline", "environ"):
            try:
                said.append(Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace"))
            except OSError:
                continue
        for name in ("cwd", "exe"):
            try:
                said.append(os.readlink(f"/proc/{pid}/{name}"))
            except OSError:
                continue
        return said
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return [*process.cmdline(), *process.environ().values(), process.cwd(), process.exe()]
    except (psutil.Error, OSError):
        return []
