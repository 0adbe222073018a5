"""A storm on databases: processes use them and die at random, prefetchers are killed, and a detector checks.

    python -m tests.storm_isolated --minutes 1
    python -m tests.storm_isolated --kills 1000

Each user leaves marks in its database and must never see marks of another user. No name is given twice. At the end the
server lists no databases except the ones that are ready. A fault exits with 1.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from servicectx.keeper.prefetcher_process import QUICK
from tests.actor import ROOT, Actor
from tests.detector import Home
from tests.storms import nursery
from tests.storms.budget import Budget, add_arguments, last_line
from tests.storms.slowness import is_readable, slowness

HANG = 30.0  # seconds for one database with its set-ups; longer on a slow machine
PAUSE = 0.1  # seconds; the longest pause after a kill
PROGRESS = 2  # databases given between two kills, at most
STUCK = 5.0  # seconds without one, after which there is a kill nevertheless
SECONDS = 20.0  # length of a round with --kills; without it there is one round
END = 15.0  # seconds on an idle machine until the databases of users are gone


User = nursery.Fork | subprocess.Popen[str]


@dataclass
class Tally:
    """Counts and faults."""

    given: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    worst: float = 0.0
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        kills = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{len(self.given)} databases given, killed: {kills or 'none'}; "
            f"worst wait {self.worst:.2f} s; {len(self.faults)} faults"
        )

    def add(self, other: "Tally") -> None:
        self.given += other.given
        self.kills.update(other.kills)
        self.worst = max(self.worst, other.worst)
        self.faults += other.faults

    def last_line(self, minutes: float) -> str:
        """No process joins here; each database is one wait."""
        return last_line(minutes, self.kills.total(), 0, len(self.given), self.worst, len(self.faults))

    def fault(self, text: str) -> None:
        self.faults.append(text)
        print(f"FAULT {text}", flush=True)


class Storm:
    """One instance, its users, one killer."""

    def __init__(self, seed: int, seconds: float, users: int) -> None:
        self.tally = Tally()
        self.random = random.Random(seed)
        self.home = Home()
        self.until = time.monotonic() + seconds
        self.users = users
        self.at_work: set[User] = set()

    def run(self) -> Tally:
        with Actor(self.home) as holder:
            holder.enter("postgres")
            details = holder.ask("details")
            threads = [threading.Thread(target=self.use, args=(details,)) for _ in range(self.users)]
            threads.append(threading.Thread(target=self.kill))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.check_end(str(details["url"]))
            holder.leave()
            with contextlib.suppress(AssertionError):
                self.home.wait_until_empty(2 * slowness())
            if left := self.home.left():
                self.tally.fault(f"left behind: {left}")
        self.home.remove()
        return self.tally

    def use(self, details: dict[str, Any]) -> None:
        """One user after the other, until the time is over."""
        names = ("user", "password", "host", "port", "dbname", "name", "service")
        record = json.dumps({name: details[name] for name in names})
        while time.monotonic() < self.until:
            seed = str(self.random.randrange(10**9))
            process = start(seed, self.until, self.home)
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(record + "\n")
                process.stdin.flush()
            self.listen(process)
            self.at_work.discard(process)
            process.kill()
            process.wait()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()

    def listen(self, process: User) -> None:
        """Read the reports of a user until it is dead, or silent for too long."""
        for line in self.lines(process):
            kind, _, report = line.partition(" ")
            if kind == "given":
                name, took = report.split()
                if name in self.tally.given:
                    self.tally.fault(f"{name} was given twice")
                self.tally.given.append(name)
                self.at_work.add(process)
                self.tally.worst = max(self.tally.worst, float(took))
            elif kind == "fault":
                self.tally.fault(report)
            elif kind == "dies":
                self.tally.kills["user by itself"] += 1

    def lines(self, process: User) -> Iterator[str]:
        """The complete lines of a user: it may be killed while it writes one."""
        assert process.stdout is not None
        with process.stdout as stream:
            rest = b""
            while is_readable(stream, HANG):
                read = os.read(stream.fileno(), 65536)
                if not read:
                    return
                *lines, rest = (rest + read).split(b"\n")
                yield from (line.decode() for line in lines)
            self.tally.fault(f"process {process.pid} hangs")
            nursery.show_stack(process)

    def kill(self) -> None:
        while time.monotonic() < self.until:
            time.sleep(self.random.random() * PAUSE)
            self.wait_for_progress()
            if self.random.random() < 0.1:
                for prefetcher in self.home.pools():
                    with contextlib.suppress(Exception):
                        if (
                            time.time() - prefetcher.create_time() > 2 * QUICK
                        ):  # else the keeper does not start another one
                            prefetcher.kill()
                            self.tally.kills["prefetcher"] += 1
            elif victims := [process for process in list(self.at_work) if process.poll() is None]:
                self.random.choice(victims).kill()  # a user that had a database, so that every user gets that far
                self.tally.kills["user"] += 1

    def wait_for_progress(self) -> None:
        """Wait for some databases: on each machine some users get far."""
        given, until = len(self.tally.given) + self.random.randint(0, PROGRESS), time.monotonic() + STUCK
        while len(self.tally.given) < given and time.monotonic() < min(until, self.until):
            time.sleep(0.005)

    def check_end(self, url: str) -> None:
        """All users have left or are dead. One more user starts a prefetcher, and waits for it."""
        end = time.monotonic() + END * slowness()
        with Actor(self.home) as last:
            last.enter("postgres")
            last.ask("isolate")
            last.ask("give_back")
            while time.monotonic() < end:
                ready = {path.name for path in self.home.own.glob("postgres-*/pool/ready/*/*")}
                taken = {path.name for path in self.home.own.glob("postgres-*/pool/taken/*")}
                there = databases(url)
                if not taken and there == ready:
                    break
                time.sleep(0.05)
            else:
                self.tally.fault(f"the server has {there - ready} too many, {ready - there} are missing; {taken}")
            last.leave()


def databases(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("select datname from pg_database where datname ~ '^sc_|_half$'").fetchall()
    return {str(row[0]) for row in found}


# -- a user, in a process of its own ----------------------------------------------------------------------------------


def fill(details: Any) -> None:
    with psycopg.connect(details.url) as connection:
        connection.execute("create table marks (pid int)")


def fill_more(details: Any) -> None:
    with psycopg.connect(details.url) as connection:
        connection.execute("create table more (n int)")
        connection.execute("insert into more select generate_series(1, 1000)")


SETUPS: list[Any] = [None, fill, (fill, fill_more)]


def start(seed: str, until: float, home: Home) -> User:
    """A user process: forked where the system is Linux, so that its start costs little."""
    variables = {"SERVICECTX_HOME": str(home.path), "SERVICECTX_CACHE": os.environ["SERVICECTX_CACHE"]}
    if sys.platform == "linux":
        return nursery.fork("tests.storm_isolated:user", int(seed), until, environment=variables)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.storm_isolated", "--user", seed, str(until)],
        cwd=ROOT,
        env=os.environ | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def die() -> None:
    print("dies", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def user(seed: int, until: float) -> None:
    from servicectx import PostgresDetails, isolated

    chance = random.Random(seed)
    details = PostgresDetails.parse(sys.stdin.readline())
    while time.monotonic() < until:
        setup = chance.choice(SETUPS)
        began = time.monotonic()
        with isolated(details, setup=setup) as mine:
            print("given", mine.dbname, time.monotonic() - began, flush=True)
            with psycopg.connect(mine.url) as connection:
                if setup is None:
                    connection.execute("create table marks (pid int)")
                use(connection, chance)
        if chance.random() < 0.05:
            die()


def use(connection: "psycopg.Connection[Any]", chance: random.Random) -> None:
    for count in range(3):
        marks = connection.execute("select pid from marks").fetchall()
        if marks != [(os.getpid(),)] * count:
            print(f"fault {os.getpid()} sees the marks {marks}", flush=True)
        connection.execute("insert into marks values (%s)", [os.getpid()])
        connection.commit()
        if chance.random() < 0.03:
            die()
        time.sleep(chance.random() * 0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, minutes=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--user", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.user:
        user(int(chosen.user[0]), float(chosen.user[1]))
        return
    print(f"seed {chosen.seed}", flush=True)
    os.environ.setdefault("SERVICECTX_CACHE", str(Path(ROOT) / ".pytest_cache" / "servicectx"))
    budget, tally, rounds = Budget(chosen.minutes, chosen.kills), Tally(), 0
    while not budget.is_spent(tally.kills.total()):
        seconds = budget.seconds(SECONDS if chosen.kills else chosen.minutes * 60)
        tally.add(Storm(chosen.seed + rounds, seconds, chosen.users).run())
        print(tally.line(), flush=True)
        rounds += 1
    print(tally.last_line(budget.minutes()), flush=True)
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    main()
