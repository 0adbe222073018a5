"""A small process beside `servicectx run`: should somebody kill that, the guard ends the command it left behind.

The services need no such help: their keepers learn it from the kernel.
"""

import os
import signal
import time

from servicectx._running import pids
from servicectx._sharing.state import Process

GRACE = 0.7  # seconds for the command to end by itself
DONE = b"done\n"


class Guard:
    """Made before anything is started: it must hold no lock and no pipe of ours."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._writing)
                _watch(reading)
            finally:
                os._exit(0)
        os.close(reading)

    def tell(self, pid: int) -> None:
        """Say which process is the command. It says so itself, before it becomes the command: no moment is missed."""
        os.write(self._writing, b"%d\n" % pid)

    def dismiss(self) -> None:
        """The command has ended, and all is well."""
        os.write(self._writing, DONE)
        os.close(self._writing)
        os.waitpid(self._pid, 0)


def _watch(reading: int) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    os.closerange(3, reading)
    os.closerange(reading + 1, min(os.sysconf("SC_OPEN_MAX"), 65536))
    os.chdir("/")
    heard = b""
    command: Process | None = None
    while chunk := os.read(reading, 4096):
        heard += chunk
        if command is None and b"\n" in heard and not heard.endswith(DONE):
            command = pids.identity(int(heard.partition(b"\n")[0]))  # with its start: ids are used again
    if command is not None and not heard.endswith(DONE):
        _end(command)


def _end(command: Process) -> None:
    """The command and all below it: asked, then killed."""
    family = _family(command)
    for process in family:
        pids.send(process, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while any(map(pids.alive, family)) and time.monotonic() < until:
        time.sleep(0.01)
    for process in {*family, *(each for member in family for each in _family(member))}:
        pids.send(process, signal.SIGKILL)


def _family(root: Process) -> list[Process]:
    if not pids.alive(root):
        return []
    below = [pids.identity(pid) for pid in pids.descendants(root.pid)]
    return [root, *(process for process in below if process is not None)]
