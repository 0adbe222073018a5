"""Descriptors that this process holds for long. User code may close any descriptor, and then open a file of its own.

A number alone does not say whose file it is. So each descriptor is known by device and inode, too, which are compared
before it is used or closed.
"""

import fcntl
import os
import resource

HIGH = 8192  # user code that closes a range of descriptors most often stops below

STANDARD = 3  # below are standard input, output and error

Identity = tuple[int, int]


def identity(number: int) -> Identity | None:
    """Device and inode of the open file `number`; None for a closed descriptor."""
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Descriptor:
    """One open file of ours, from here on. It moves up to a high number, where the limit allows one."""

    def __init__(self, number: int) -> None:
        self._identity: Identity | None = None
        self.number = _raised(number)
        self._identity = identity(self.number)

    @property
    def is_ours(self) -> bool:
        """Whether the number still stands for the file that it was made for."""
        return self._identity is not None and identity(self.number) == self._identity

    def close(self) -> None:
        """Close it, unless user code closed it before. The second time nothing happens."""
        if self.is_ours:
            os.close(self.number)
        self._identity = None

    def __del__(self) -> None:
        self.close()


def _raised(number: int) -> int:
    """The same open file at a high number; locks stay, they belong to the open file.

    Raises OSError where nothing but a standard descriptor is free, which `print` and child processes write to.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    floor = HIGH if limit == resource.RLIM_INFINITY else min(HIGH, limit // 2)
    try:
        high = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, max(STANDARD, floor))
    except OSError:  # no descriptor is free there
        if number >= STANDARD:
            return number
        os.close(number)
        raise
    os.close(number)
    return high
