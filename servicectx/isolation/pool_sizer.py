"""The number of copies of one source that should be ready."""

import time

FIRST, MOST, MOST_OF_ALL = 2, 12, 24  # ready copies: first target and limit of one source, limit of all sources
IDLE = 10.0  # seconds without demand after which the target is halved, down to 0


class PoolSizer:
    """The target for one source: it grows with the users and with misses, and shrinks without demand."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.filled = False  # whether the target has been reached
        self.lasts = False  # whether there was demand in the last `IDLE` seconds
        self.due = time.monotonic() + IDLE
        self.pause = 0.0  # the time before which no copy is made

    def ask(self, served: bool, users: int) -> None:
        """Raise the target to the number of users; double it when a filled pool was not enough."""
        if not served and self.filled:
            self.target, self.filled = 2 * self.target, False
        self.target = min(MOST, max(FIRST, users, self.target))
        self.lasts = True
        self.due = time.monotonic() + IDLE

    def shrink(self) -> None:
        if time.monotonic() > self.due:
            self.target //= 2
            self.lasts = False
            self.due = time.monotonic() + IDLE

    @property
    def most(self) -> int:
        """The number of copies above which copies are removed; larger while there is demand."""
        return MOST if self.lasts else self.target
