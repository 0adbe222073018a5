"""A hostile storm: the rounds of `tests.storm`, with hazards.

    python -m tests.storm_hostile --minutes 3
    python -m tests.storm_hostile --kills 1000
    python -m tests.storm_hostile --only clearers,full-homes
    python -m tests.storm_hostile --without swapped-links

Hazards:

    clearers            processes are killed while they remove the files of a dead instance
    keeper-pairs        a keeper and its watchdog are killed together
    full-homes          the file system of a home is full for moments
    read-only-homes     the file system of a home is read-only for moments
    prunes              a second home is used at the same time, and `prune --yes` runs in both
    pid-namespaces      users are in PID namespaces of their own
    closed-descriptors  users close all descriptors, and open files of their own in their place
    swapped-links       the server's account swaps directories for links to a directory of root

Each round has some of the hazards, and each hazard gets its turn. The promises are the ones of `tests.storm`. At the
end of a round there is no process, port, file, data directory, or segment in shared memory. The line of each round has
the count of each hazard, and the last line the sums; a hazard that cannot run here is named before it, with the reason.
A fault exits with 1. With
SERVICECTX_REQUIRE_SERVERS, a hazard that cannot run does so, too.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

from tests.actor import ROOT
from tests.storms.budget import Budget, add_arguments
from tests.storms.clearers import Clearers
from tests.storms.descriptors import Descriptors
from tests.storms.file_system import Full, ReadOnly
from tests.storms.hazard import Hazard
from tests.storms.keeper_pairs import KeeperPairs
from tests.storms.links import Links
from tests.storms.pid_namespaces import PidNamespaces
from tests.storms.round import Round
from tests.storms.second_home import SecondHome
from tests.storms.slowness import slowness
from tests.storms.tally import Tally
from tests.storms.traces import Traces

HAZARDS: dict[str, type[Hazard]] = {
    kind.name: kind for kind in (Clearers, KeeperPairs, Full, ReadOnly, SecondHome, PidNamespaces, Descriptors, Links)
}
SECONDS = 10.0  # length of a round on an idle machine
LONGEST = 3.0  # times that, on a busy machine: users and hazards need longer there
TOGETHER = 3  # hazards in one round
SAMPLE = 1.0  # seconds between two looks at the processes


def run_round(tally: Tally, seed: int, seconds: float, users: int, kinds: list[type[Hazard]]) -> None:
    """One round with these hazards, and the check of its end."""
    names = [key.name for kind in kinds for key in kind.keys]
    round = Round(tally, seed, seconds, users, names=names)
    hazards = [kind(round) for kind in kinds]
    traces = Traces(round.home)

    def collect() -> None:
        while time.monotonic() < round.until:
            traces.collect()
            time.sleep(SAMPLE)

    round.run(collect, *(hazard.run for hazard in hazards))
    for hazard in hazards:
        hazard.check_end()
    if left := traces.left():
        round.fault(f"left behind outside the home: {left}")


def storm(budget: Budget, seed: int, users: int, kinds: list[type[Hazard]]) -> Tally:
    """Rounds until the budget is spent; the hazards take turns."""
    tally = Tally()
    tally.hazards.update({kind.name: 0 for kind in kinds})
    turns = [*kinds]
    random.Random(seed).shuffle(turns)
    while not budget.is_spent(tally.kills.total()):
        together, turns = turns[:TOGETHER], turns[TOGETHER:] + turns[:TOGETHER]
        seconds = budget.seconds(SECONDS * min(LONGEST, slowness()))
        run_round(tally, seed + tally.rounds, seconds, users, together)
        tally.rounds += 1
        print(tally.line(), flush=True)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, minutes=3.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--users", type=int, default=4)
    parser.add_argument("--only", type=selection, default=list(HAZARDS), metavar="HAZARD,...")
    parser.add_argument("--without", type=selection, default=[], metavar="HAZARD,...")
    chosen = parser.parse_args()
    os.environ.setdefault("SERVICECTX_CACHE", str(Path(ROOT) / ".pytest_cache" / "servicectx"))
    kinds = [HAZARDS[name] for name in chosen.only if name not in chosen.without]
    problems = {kind.name: kind.problem() for kind in kinds if kind.problem()}
    print(f"seed {chosen.seed}", flush=True)
    kinds = [kind for kind in kinds if kind.name not in problems]
    budget = Budget(chosen.minutes, chosen.kills)
    tally = storm(budget, chosen.seed, chosen.users, kinds)
    for name, problem in problems.items():
        print(f"not run: {name}: {problem}", flush=True)
    print(tally.last_line(budget.minutes()), flush=True)
    sys.exit(1 if tally.faults or (problems and "SERVICECTX_REQUIRE_SERVERS" in os.environ) else 0)


def selection(text: str) -> list[str]:
    """The names of hazards, separated by commas."""
    names = text.split(",")
    if unknown := [name for name in names if name not in HAZARDS]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(HAZARDS)}")
    return names


if __name__ == "__main__":
    main()
