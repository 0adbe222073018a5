"""A small process beside `servicectx run`: should somebody kill that, the guard ends the command it left behind.

The services need no such help: their keepers learn it from the kernel.
"""

import contextlib
import os
import signal

from servicectx.cli import family
from servicectx.system import processes
from servicectx.system.processes import Process

DONE = b"done\n"


class Guard:
    """Made before anything is started: it must hold no lock and no pipe of ours."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        # Within a command of another `servicectx run` both of them find the processes by their own part.
        self.mark = f"{os.environ.get(family.MARK, '')}/{os.urandom(8).hex()}"
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._writing)
                _watch(reading, self.mark)
            finally:
                os._exit(0)
        os.close(reading)

    def tell(self, pid: int) -> None:
        """Say which process is the command. It says so itself, before it becomes the command: no moment is missed."""
        os.write(self._writing, b"%d\n" % pid)

    def dismiss(self) -> None:
        """The command has ended, and all is well."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._writing, DONE)
        os.close(self._writing)
        with contextlib.suppress(ChildProcessError):  # reaped already
            os.waitpid(self.pid, 0)


def _watch(reading: int, mark: str) -> None:
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
            command = processes.identity(int(heard.partition(b"\n")[0]))  # with its start: ids are used again
    if command is not None and not heard.endswith(DONE):
        family.end(os.getpid(), mark, set(), command)
