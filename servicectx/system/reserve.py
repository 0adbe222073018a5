"""Descriptors kept back for the moment when there are none: to count users, and to clear up."""

import contextlib
import os
import resource  # now: an import needs a descriptor

RESERVED = 12  # a lock, a lease, a folder, a process table, and pipes for a program that removes
ROOM = 256  # how far the limit is raised


class Reserve:
    """Open descriptors that stand for nothing. `release` makes room for others; `refill` keeps room again."""

    def __init__(self) -> None:
        self._kept: list[int] = []
        self.refill()

    def refill(self) -> None:
        with contextlib.suppress(OSError):
            while len(self._kept) < RESERVED:
                self._kept.append(os.open(os.devnull, os.O_RDONLY))

    def release(self) -> None:
        """Close what is kept. Also raises the limit that this process may raise by itself."""
        while self._kept:
            os.close(self._kept.pop())
        _raise_limit()


def _raise_limit() -> None:
    """A limit that was lowered under a running process counts numbers, not descriptors: closing some helps nothing."""
    with contextlib.suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = max(soft, ROOM)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
