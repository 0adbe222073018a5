"""The end of a storm: a time, or a number of kills."""

import argparse
import math
import time


class Budget:
    """Time in minutes. With `kills`, that number of kills instead; the round that reaches it is completed."""

    def __init__(self, minutes: float, kills: int | None = None) -> None:
        self._kills = kills
        self._began = time.monotonic()
        self._end = math.inf if kills else time.monotonic() + minutes * 60

    def is_spent(self, kills: int) -> bool:
        return time.monotonic() >= self._end or (self._kills is not None and kills >= self._kills)

    def minutes(self) -> float:
        """Minutes since the beginning."""
        return (time.monotonic() - self._began) / 60

    def seconds(self, most: float) -> float:
        """The length of the next round."""
        return min(most, max(1.0, self._end - time.monotonic()))


def add_arguments(parser: argparse.ArgumentParser, minutes: float) -> None:
    parser.add_argument("--minutes", type=float, default=minutes, help="length of the storm (default: %(default)s)")
    parser.add_argument("--kills", type=int, metavar="N", help="end after N kills, instead of the minutes")


def last_line(minutes: float, kills: int, joins: int, waits: int, worst: float, faults: int) -> str:
    """The last line of each storm."""
    sums = f"{kills} kills, {joins} joins, {waits} waits, worst wait {worst:.2f} s, {faults} faults"
    return f"sum of {minutes:.1f} minutes: {sums}"
