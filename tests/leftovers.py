"""Processes and files that an instance left, found without the library."""

import os
import time
from pathlib import Path

import psutil

from tests.detector import BUSY, EMPTY, OWN, pids


def processes(*places: Path) -> list[psutil.Process]:
    """Processes with one of `places` as working directory or program, or in command line or environment.

    This process is left out.
    """
    texts = [str(place) for place in places]
    found = []
    for pid in pids():
        if pid != os.getpid() and any(text in attribute for attribute in _attributes(pid) for text in texts):
            try:
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
    return found


def command_lines(*places: Path) -> list[str]:
    """Command lines of `processes` that still live."""
    found = []
    for process in processes(*places):
        try:
            found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def files(home: Path) -> list[str]:
    """Files in a home, without the library's empty directories and their markers."""
    if not home.is_dir() or home.is_symlink():
        return []
    found = [*home.iterdir(), *home.glob(f"{OWN}/*"), *home.glob(f"{OWN}/data/*")]
    return sorted(str(path) for path in found if str(path.relative_to(home)) not in EMPTY)


def wait_for_none(home: Path, seconds: float) -> list[str]:
    """Descriptions of processes and files that are still there after `seconds`, or longer on a busy machine."""
    deadline = time.monotonic() + max(seconds, BUSY)
    while True:
        left = [f"process {_shown(process)}" for process in processes(home)] + files(home)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def end(*places: Path) -> None:
    """Kill the processes that `processes` finds."""
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


def _attributes(pid: int) -> list[str]:
    """Command line, environment, working directory and program of a process."""
    if os.path.exists("/proc/self/environ"):  # psutil takes five times as long, and pathlib twice
        found = []
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
                    text = file.read()
            except OSError:
                continue
            if name == "cmdline" and not text:
                return []  # a thread of the kernel, or a zombie
            found.append(text.decode(errors="replace"))
        for name in ("cwd", "exe"):
            try:
                found.append(os.readlink(f"/proc/{pid}/{name}"))
            except OSError:
                continue
        return found
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return [*process.cmdline(), *process.environ().values(), process.cwd(), process.exe()]
    except (psutil.Error, OSError):
        return []
