"""The features of this platform. Only this module checks the platform; every feature has a substitute.

    feature                         Linux   macOS     substitute
    signal at the parent's death    yes     no        the watchdog ends the server, else the next process to come
    adoption of orphans             yes     no        processes are found by the mark in their environment
    pidfd                           yes     no        identities are compared every few milliseconds
    /proc                           yes     no        psutil, which mirakuru brings
    /dev/shm                        yes     no        data on disk
    copies inside the kernel        yes     no        data passes through this process

`SERVICECTX_TEST_PORTABLE=1` turns all of them off, so that the substitutes are tested on Linux.
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
    """A descriptor that becomes readable when the process ends. None: not supported, or no such process."""
    if not LINUX or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def pidfd_signal(descriptor: int, number: int) -> None:
    signal.pidfd_send_signal(descriptor, number)


def copy_range(reading: int, writing: int, count: int) -> int:
    """Copy bytes between files in the kernel, and return their number. Raises OSError where that is not supported."""
    if not LINUX:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    return os.copy_file_range(reading, writing, count)
