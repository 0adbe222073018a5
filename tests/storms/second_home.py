"""A second home that is used at the same time, and the command `prune` in both."""

import os
import subprocess
import sys
import threading
import time
from typing import ClassVar

from tests.actor import ROOT
from tests.detector import Home
from tests.storms.hazard import Hazard
from tests.storms.round import Key, Round
from tests.storms.traces import Traces

KEYS = [Key("redis", "a"), Key("redis", "m", "memory"), Key("postgres", "c")]
PRUNE_TIME = 60.0  # seconds


class SecondHome(Hazard):
    """The same names in two homes, some with data in one common directory in memory. Each is pruned now and then.

    Data and processes of the other home must be untouched: its users get no error that no kill explains.
    """

    name: ClassVar[str] = "prunes"
    keys: ClassVar[tuple[Key, ...]] = (Key("redis", "m", "memory"),)

    def run(self) -> None:
        seconds = self.round.until - time.monotonic()
        users = max(2, self.round.users // 2)
        other = Round(self.round.tally, self.random.randrange(10**9), seconds, users, keys=KEYS)
        pruning = threading.Thread(target=self.round.guarded, args=(self.prune, self.round.home, other.home))
        user = threading.Thread(target=self.round.guarded, args=(self.use_memory,))
        for thread in (pruning, user):
            thread.start()
        self.traces = Traces(other.home)
        other.run()
        for thread in (pruning, user):
            thread.join()

    def check_end(self) -> None:
        if left := self.traces.left():
            self.round.fault(f"left behind outside the second home: {left}")

    def use_memory(self) -> None:
        """One user of this home with data in memory, as in the other home."""
        self.round.use(1000, self.keys[0])

    def prune(self, *homes: Home) -> None:
        while time.monotonic() < self.round.until:
            time.sleep(self.random.random() * 0.5)
            home, other = self.random.sample(homes, 2)
            done = subprocess.run(
                [sys.executable, "-m", "servicectx", "prune", "--yes"],
                cwd=ROOT,
                env=os.environ | {"SERVICECTX_HOME": str(home.path)},
                capture_output=True,
                text=True,
                timeout=PRUNE_TIME,
                check=False,
            )
            if done.returncode != 0:
                self.round.fault(f"prune ended with {done.returncode}: {done.stdout} {done.stderr}")
            if str(other.path) in done.stdout:
                self.round.fault(f"prune of {home.path} lists another home: {done.stdout}")
            self.count()
