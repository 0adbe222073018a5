"""How many copies of one source should be ready."""

import time

FIRST, MOST, MOST_OF_ALL = 2, 12, 24  # copies ready of one source, and of all
IDLE = 10.0  # seconds without demand after which half of them are enough; at last none


class PoolSizer:
    """Grows with the users and when it was not enough; shrinks when nobody asks."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.filled = False  # whether so many have been ready at once
        self.lasts = False  # whether somebody asked lately
        self.due = time.monotonic() + IDLE
        self.pause = 0.0  # until when nothing is tried

    def ask(self, served: bool, users: int) -> None:
        """As many as there are users; twice as many whenever that was not enough."""
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
        """With more than these some are too many. While it lasts, what is given back is soon wanted again."""
        return MOST if self.lasts else self.target
