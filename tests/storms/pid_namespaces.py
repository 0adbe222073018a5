"""Users in PID namespaces of their own that share the home by its path."""

import contextlib
import os
import threading
import time
from typing import ClassVar

import psutil

from tests.actor import Actor
from tests.storms.hazard import Hazard, kill
from tests.storms.round import Killed

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


class PidNamespaces(Hazard):
    """One user after the other, each in a new PID namespace. All its processes die with it, keepers among them."""

    name: ClassVar[str] = "pid-namespaces"
    needs_namespaces: ClassVar[bool] = True

    def run(self) -> None:
        while time.monotonic() < self.round.until:
            with Actor(self.round.home, prefix=UNSHARE) as actor:
                timer = threading.Timer(0.5 + self.random.random() * 4, self.end, (actor,))
                timer.start()
                with contextlib.suppress(Killed):
                    while time.monotonic() < self.round.until:
                        self.current = self.random.choice(self.round.keys)
                        self.round.use_once(actor, self.current)
                timer.cancel()
                timer.join()
                self.end(actor)

    def end(self, actor: Actor) -> None:
        """Kill the namespace: its keepers, watchdogs and servers die with the user."""
        if actor.process.poll() is not None:
            return
        dying = {self.current.name}
        with contextlib.suppress(psutil.Error, OSError):
            namespace = os.readlink(f"/proc/{actor.process.pid}/ns/pid_for_children")
            for keeper in self.round.home.keepers():
                with contextlib.suppress(psutil.Error, OSError):
                    if os.readlink(f"/proc/{keeper.pid}/ns/pid") == namespace:
                        dying.add(self.round.key_of(keeper))
        for name in dying:
            self.round.record_victim(name, "keeper", "watchdog")
        kill(actor)
        for name in dying:
            self.round.record_victim(name)
        self.round.tally.kills["PID namespace"] += 1
        self.count()
