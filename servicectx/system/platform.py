"""What this platform gives. The only place that says so; everything else has a way without.

    what                            Linux   macOS     without it
    signal at the parent's death    yes     no        the watchdog ends the server, else the next visitor
    adopting of orphans             yes     no        processes are found by the mark in their environment
    pidfd                           yes     no        identities are compared again and again, some milliseconds apart
    /proc                           yes     no        psutil, which mirakuru brings
    /dev/shm                        yes     no        data on disk
    copies inside the kernel        yes     no        data pass through this process

`SERVICECTX_TEST_PORTABLE=1` turns all of it off: for tests, so that the ways without it are tested on Linux.
"""

import errno
import os
import signal
import sys
from pathlib import Path

PORTABLE = os.environ.get("SERVICECTX_TEST_PORTABLE") == "1"
LINUX = sys.platform == "linux" and not PORTABLE

PARENT_DEATH_SIGNAL = LINUX
SUBREAPER = LINUX
PROC = LINUX
MEMORY = Path(os.devnull, "shm") if PORTABLE else Path("/dev/shm")


def pidfd_open(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends. None where there are none, or no such process."""
    if not LINUX or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def pidfd_signal(descriptor: int, number: int) -> None:
    signal.pidfd_send_signal(descriptor, number)


def copy_range(reading: int, writing: int, count: int) -> int:
    """Bytes copied from one file to the other by the kernel. Raises OSError where it does not."""
    if not LINUX:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    return os.copy_file_range(reading, writing, count)
