"""The counts and faults of a storm."""

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.storms import budget


@dataclass
class Tally:
    """Counts and faults of all rounds."""

    rounds: int = 0
    entered: int = 0
    joined: int = 0
    waits: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    hazards: Counter[str] = field(default_factory=Counter)
    excuses: Counter[str] = field(default_factory=Counter)
    worst: tuple[float, str] = (0.0, "")
    slowness: float = 1.0  # of the machine, see `tests.storms.slowness`
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        self.faults.append(f"round {self.rounds}: {text}")
        print(f"FAULT {self.faults[-1]}", file=sys.stderr, flush=True)

    def record_wait(self, seconds: float, text: str) -> None:
        self.waits += 1
        self.worst = max(self.worst, (seconds, f"{text}, machine slower by {self.slowness:.1f}"))

    def as_dict(self) -> dict[str, Any]:
        names = ("entered", "joined", "waits", "kills", "hazards", "excuses", "worst", "faults")
        return {name: getattr(self, name) for name in names}

    def add(self, other: dict[str, Any]) -> None:
        """Add the tally of another process, as a dictionary. Its faults were printed there."""
        self.entered += other["entered"]
        self.joined += other["joined"]
        self.waits += other["waits"]
        for name in ("kills", "hazards", "excuses"):
            getattr(self, name).update(other[name])
        seconds, text = other["worst"]
        self.worst = max(self.worst, (seconds, text))
        self.faults += other["faults"]

    def hazard_counts(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.hazards.items()))
        return f"hazards: {counts}; " if counts else ""

    def line(self) -> str:
        kills = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.rounds} rounds, {self.entered} entered ({self.joined} joined), "
            f"{self.kills.total()} kills: {kills or 'none'}; {self.hazard_counts()}"
            f"met a server that was just killed: {dict(self.excuses)}; "
            f"worst wait {self.worst[0]:.2f} s ({self.worst[1]}); {len(self.faults)} faults"
        )

    def last_line(self, minutes: float) -> str:
        return budget.last_line(minutes, self.kills.total(), self.joined, self.waits, self.worst[0], len(self.faults))
