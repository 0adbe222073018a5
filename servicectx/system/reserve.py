"""Descriptors in reserve for a shortage: to count users, and to clean up."""

import contextlib
import os
import resource  # imported early, because an import needs a descriptor

RESERVED = 12  # a lock, a lease, a folder, a process table, and pipes for a program that removes
ROOM = 256  # the raised limit


class Reserve:
    """Open descriptors without a use. `release` frees them for other files; `refill` opens them again."""

    def __init__(self) -> None:
        self._kept: list[int] = []
        self.refill()

    def refill(self) -> None:
        with contextlib.suppress(OSError):
            while len(self._kept) < RESERVED:
                self._kept.append(os.open(os.devnull, os.O_RDONLY))

    def release(self) -> None:
        """Close the reserved descriptors, and raise the soft limit of this process.

        A hard limit below the numbers of the closed descriptors still forbids new ones. Then standard input and output
        are closed, too, if they are the null device. Two descriptors suffice to lock the key and to count the users.
        """
        while self._kept:
            os.close(self._kept.pop())
        _raise_limit()
        if not _is_one_free():
            for number in (0, 1):
                _close_if_null(number)


def _is_one_free() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True


def _close_if_null(number: int) -> None:
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(number), os.stat(os.devnull)):
            os.close(number)


def _raise_limit() -> None:
    """Raise the soft limit: it applies to descriptor numbers, so after a lowering, closing files does not help."""
    with contextlib.suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        target = max(soft, ROOM)
        if soft != resource.RLIM_INFINITY and soft < target:
            limit = target if hard == resource.RLIM_INFINITY else min(target, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
