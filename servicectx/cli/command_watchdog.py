"""A small process beside `servicectx run`. If `servicectx run` is killed, the watchdog ends the command.

Services need no watchdog here: the kernel frees the lease, and the keeper notices that.
"""

import contextlib
import os
import signal

from servicectx.cli import process_family
from servicectx.system import processes
from servicectx.system.processes import Process

DONE = b"done\n"


class CommandWatchdog:
    """The watchdog process. It is forked before anything is started, so that it holds no lock and no other pipe."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        # A run within a command of another run: each run finds its processes by its own part of the mark.
        self.mark = f"{os.environ.get(process_family.MARK, '')}/{os.urandom(8).hex()}"
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._writing)
                _watch(reading, self.mark)
            finally:
                os._exit(0)
        os.close(reading)

    def register(self, pid: int) -> None:
        """Send the id of the command. The child calls this before exec, so no command runs unregistered."""
        os.write(self._writing, b"%d\n" % pid)

    def dismiss(self) -> None:
        """End the watchdog. The command has ended already."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._writing, DONE)
        os.close(self._writing)
        with contextlib.suppress(ChildProcessError):  # reaped already
            os.waitpid(self.pid, 0)


def _watch(reading: int, mark: str) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, reading)
    os.closerange(reading + 1, min(os.sysconf("SC_OPEN_MAX"), 65536))
    os.chdir("/")
    received = b""
    command: Process | None = None
    while chunk := os.read(reading, 4096):
        received += chunk
        if command is None and b"\n" in received and not received.endswith(DONE):
            command = processes.identity(int(received.partition(b"\n")[0]))  # with its start time: ids are reused
    if command is not None and not received.endswith(DONE):
        process_family.end(os.getpid(), mark, set(), command)
