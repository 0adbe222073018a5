"""A storm: random users enter, use and leave random keys, while a killer kills at random and a detector checks.

    python -m tests.storm --minutes 5
    python -m tests.storm --kills 1000

Promises of every round: no wait beyond 10 s, never two live servers for one key, never details that do not connect
(unless their server was just killed), only errors of the library's own types, and nothing left 2 s after the
end. The last line has the sums; a fault exits with 1. `python -m tests.storm_hostile` adds hazards.
"""

import argparse
import random
import sys

from tests.storms.budget import Budget, add_arguments
from tests.storms.round import Round
from tests.storms.tally import Tally

SECONDS = 20.0  # length of a round


def storm(budget: Budget, seed: int, users: int = 8) -> Tally:
    """Rounds of `SECONDS` until the budget is spent."""
    tally = Tally()
    while not budget.is_spent(tally.kills.total()):
        Round(tally, seed + tally.rounds, budget.seconds(SECONDS), users).run()
        tally.rounds += 1
        print(tally.line(), flush=True)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, minutes=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--users", type=int, default=8)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    budget = Budget(chosen.minutes, chosen.kills)
    tally = storm(budget, chosen.seed, chosen.users)
    print(tally.last_line(budget.minutes()), flush=True)
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    main()
