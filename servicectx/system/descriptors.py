"""Long-lived descriptors. User code may close any descriptor, and then open a file of its own under its number.

A number alone does not identify a file. So device and inode of each descriptor are recorded, and compared before it is
used or closed.
"""

import fcntl
import os
import resource

HIGH = 8192  # user code that closes a range of descriptors mostly stops below

STANDARD = 3  # lower numbers are standard input, output and error

Identity = tuple[int, int]


def identity(number: int) -> Identity | None:
    """Device and inode of the open file `number`; None for a closed descriptor."""
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Descriptor:
    """The owner of one open file, which is moved to a high number where the limit permits."""

    def __init__(self, number: int) -> None:
        self._identity: Identity | None = None
        self.number = _raised(number)
        self._identity = identity(self.number)

    @property
    def is_ours(self) -> bool:
        """Whether the number still refers to the original file."""
        return self._identity is not None and identity(self.number) == self._identity

    def close(self) -> None:
        """Close the file, unless user code has closed it. A second call does nothing."""
        if self.is_ours:
            os.close(self.number)
        self._identity = None

    def __del__(self) -> None:
        self.close()


def _raised(number: int) -> int:
    """Move an open file to a high number. Its locks stay, because they belong to the open file.

    Raises OSError where only a standard descriptor is free: `print` and child processes would write to the file.
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
