"""A storm: random users enter, use and leave random keys, while a killer kills at random and a detector checks.

    python -m tests.storm --minutes 5

Promises of every round: no wait beyond 10 s, never two live servers for one key, never details that do not connect
(unless their server was just killed), only errors of the library's own types, and nothing left 2 s after the
end. The tally is printed; a fault exits with 1. `python -m tests.storm_hostile` adds hazards.
"""

import argparse
import random
import sys
import time

from tests.storms.round import Round
from tests.storms.tally import Tally


def storm(minutes: float, seed: int, seconds: float = 10.0, users: int = 6) -> Tally:
    """Rounds of `seconds` until `minutes` are over."""
    tally, end = Tally(), time.monotonic() + minutes * 60
    while time.monotonic() < end:
        Round(tally, seed + tally.rounds, min(seconds, max(1.0, end - time.monotonic())), users).run()
        tally.rounds += 1
        print(tally.line(), flush=True)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--users", type=int, default=6)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    tally = storm(chosen.minutes, chosen.seed, users=chosen.users)
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    main()
