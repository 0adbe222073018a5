"""A storm: random users enter, use and leave random keys, while a killer kills at random and a detector checks.

    python -m tests.storm --minutes 5

Promises of every round: no wait beyond 10 s, never two live servers for one key, never details that do not connect
(unless their server was just killed), and nothing left 2 s after the end. The tally is printed; a fault exits with 1.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil

from tests.actor import Actor
from tests.detector import Home

HANG = 10.0
KEYS = [("redis", "a"), ("redis", "b"), ("postgres", "c")]
KINDS = ["user", "user", "user", "keeper", "watchdog", "server", "both", "clearer"]


@dataclass
class Tally:
    """Counts and faults of all rounds."""

    rounds: int = 0
    entered: int = 0
    joined: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    excuses: Counter[str] = field(default_factory=Counter)
    worst: tuple[float, str] = (0.0, "")
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        kills = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.rounds} rounds, {self.entered} entered ({self.joined} joined), killed: {kills or 'none'}; "
            f"met a server that was just killed: {dict(self.excuses)}; "
            f"worst wait {self.worst[0]:.2f} s ({self.worst[1]}); {len(self.faults)} faults"
        )


class Round:
    """One home, some users, one killer, one detector."""

    def __init__(self, tally: Tally, seed: int, seconds: float, users: int) -> None:
        self.tally = tally
        self.random = random.Random(seed)
        self.home = Home()
        self.until = time.monotonic() + seconds
        self.users = users
        self.actors: dict[int, Actor] = {}
        self.killed: dict[str, list[float]] = {name: [] for _, name in KEYS}
        self.victims: dict[str, set[str]] = {name: set() for _, name in KEYS}
        self.lock = threading.Lock()

    def run(self) -> None:
        threads = [threading.Thread(target=self.use, args=(number,)) for number in range(self.users)]
        threads += [threading.Thread(target=self.kill), threading.Thread(target=self.watch)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.check_end()
        self.tally.rounds += 1
        self.home.remove()

    def fault(self, text: str) -> None:
        with self.lock:
            self.tally.faults.append(f"round {self.tally.rounds}: {text}")
            print(f"FAULT {self.tally.faults[-1]}", flush=True)

    # -- users -----------------------------------------------------------------------------------------------------

    def use(self, number: int) -> None:
        while time.monotonic() < self.until:
            with Actor(self.home) as actor:
                self.actors[number] = actor
                with contextlib.suppress(Killed):
                    while time.monotonic() < self.until:
                        self.use_once(actor)

    def use_once(self, actor: Actor) -> None:
        service, name = self.random.choice(KEYS)
        began = time.monotonic()
        reply = self.ask(actor, name, "enter", service=service, arguments={"name": name})
        if "error" in reply:
            self.excuse(name, began, f"entering: {reply['error']}", f"{name}: {reply['message']}")
            return
        self.tally.entered += 1
        self.tally.joined += bool(reply["joined"])
        used = self.ask(actor, name, "use")
        if used.get("used") != "42":
            self.excuse(name, began, f"using: {used.get('error')}", f"{name}: {used}")
        time.sleep(self.random.random() * 0.2)
        left = self.ask(actor, name, "leave")
        if "error" in left:
            self.fault(f"leaving {name}: {left}")

    def ask(self, actor: Actor, name: str, command: str, **arguments: object) -> dict[str, object]:
        began = time.monotonic()
        try:
            actor.send(command, **arguments)
            reply = actor.hear(HANG)
        except (AssertionError, OSError, ValueError):
            if actor.process.poll() is None and time.monotonic() - began >= HANG:
                self.fault(f"process {actor.process.pid} hangs in {command} {name}")
                actor.kill()
            raise Killed from None
        self.tally.worst = max(self.tally.worst, (time.monotonic() - began, f"{command} {name}"))
        return reply

    def excuse(self, name: str, began: float, failure: str, context: str) -> None:
        """Record a failure as a fault, unless the server, keeper or watchdog of this key was killed shortly before."""
        if any(moment > began - 1.0 for moment in self.killed[name]):
            self.tally.excuses[failure] += 1
        else:
            self.fault(f"{failure} {context[:300]}")

    # -- killer and detector ---------------------------------------------------------------------------------------

    def kill(self) -> None:
        while time.monotonic() < self.until:
            time.sleep(self.random.random() * 0.4)
            kind = self.random.choice(KINDS)
            if kind == "user" and self.actors:
                actor = self.random.choice(list(self.actors.values()))
                if actor.process.poll() is None:
                    os.killpg(actor.process.pid, signal.SIGKILL)
                    self.tally.kills["user"] += 1
            elif kind == "both":
                self.kill_both()
            elif kind == "clearer":
                self.kill_clearer()
            elif kind != "user":
                self.kill_helper(kind)

    def kill_helper(self, kind: str) -> None:
        found = {"keeper": self.home.keepers, "watchdog": self.home.watchdogs, "server": self.home.servers}[kind]()
        if found:
            self.kill_process(kind, self.random.choice(found))

    def kill_process(self, kind: str, victim: psutil.Process) -> bool:
        """Kill a process; False if it is dead or does not belong to this home."""
        with contextlib.suppress(psutil.Error):
            name = self.key_of(victim)
            self.killed[name].append(time.monotonic() + 0.2)
            self.victims[name].add(kind)
            victim.kill()
            self.tally.kills[kind] += 1
            return True
        return False

    def kill_both(self) -> bool:
        """Kill a keeper together with its watchdog; False without a keeper."""
        keepers = self.home.keepers()
        if not keepers:
            return False
        keeper = self.random.choice(keepers)
        with contextlib.suppress(psutil.Error):
            watchdog = keeper.parent()
            if watchdog is not None and watchdog.pid != 1 and self.kill_process("watchdog", watchdog):
                return self.kill_process("keeper", keeper)
        return False

    def kill_clearer(self) -> None:
        """Kill a keeper and its watchdog, so that users remove the remains; then kill users during that removal."""
        if self.kill_both():
            for actor in list(self.actors.values()):
                time.sleep(self.random.random() * 0.02)
                if self.random.random() < 0.5 and actor.process.poll() is None:
                    os.killpg(actor.process.pid, signal.SIGKILL)
                    self.tally.kills["clearer"] += 1

    def key_of(self, process: psutil.Process) -> str:
        text = " ".join(process.cmdline()) + " " + process.cwd()
        for _, name in KEYS:
            if f"{name}-" in text.replace(str(self.home.path), "").replace("/data/", " "):
                for part in text.replace("/", " ").split():
                    if part.startswith(f"{name}-"):
                        return name
        raise psutil.NoSuchProcess(process.pid)

    def watch(self) -> None:
        while time.monotonic() < self.until:
            time.sleep(0.1)
            servers: dict[str, list[psutil.Process]] = {}
            for process in self.home.servers():
                with contextlib.suppress(psutil.Error):
                    servers.setdefault(self.key_of(process), []).append(process)
            for name, found in servers.items():
                if len(found) > 1:
                    time.sleep(0.05)  # a fresh fork of a server that died has its command line for a moment
                    alive = {process.pid for process in self.home.servers()} & {process.pid for process in found}
                    if len(alive) > 1:
                        self.fault(f"{len(alive)} servers live for {name}: {found}")

    def check_end(self) -> None:
        """All users have left or are dead. If keeper *and* watchdog were killed, the next user removes the remains."""
        self.actors.clear()
        end = time.monotonic() + 2.0
        while time.monotonic() < end and self.home.left():
            time.sleep(0.02)
        if self.home.left() and any({"keeper", "watchdog"} <= kinds for kinds in self.victims.values()):
            with Actor(self.home) as visitor:
                visitor.enter("redis", name="visitor")
                visitor.leave()
        if left := self.home.left():
            self.fault(f"left behind: {left}")


class Killed(Exception):
    """The user is dead."""


def storm(minutes: float, seed: int, seconds: float = 10.0, users: int = 6) -> Tally:
    """Rounds of `seconds` until `minutes` are over."""
    tally, end = Tally(), time.monotonic() + minutes * 60
    while time.monotonic() < end:
        Round(tally, seed + tally.rounds, min(seconds, max(1.0, end - time.monotonic())), users).run()
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
