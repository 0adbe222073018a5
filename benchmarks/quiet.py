"""A quiet moment: on a shared machine, a run begins when other programs pause."""

import time
from pathlib import Path

STAT = Path("/proc/stat")
SAMPLE = 0.1
IDLE = 0.9


def wait(patience: float) -> bool:
    """Whether the machine was nearly idle for a moment within `patience` seconds. True if the load is unknown."""
    deadline = time.monotonic() + patience
    while patience and STAT.exists():
        if _idle_share() >= IDLE:
            return True
        if time.monotonic() > deadline:
            return False
    return True


def _idle_share() -> float:
    before = _ticks()
    time.sleep(SAMPLE)
    passed = [now - then for now, then in zip(_ticks(), before, strict=True)]
    return (passed[3] + passed[4]) / max(1, sum(passed))  # proc(5): idle, and waiting for a disk


def _ticks() -> list[int]:
    return [int(ticks) for ticks in STAT.read_text().splitlines()[0].split()[1:9]]
