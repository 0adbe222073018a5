"""Processes that are killed while they remove the files of a dead instance."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import ClassVar

from tests.actor import Actor
from tests.storms import keeper_pairs, users
from tests.storms.hazard import Hazard, entered, folder, is_reply_ready, kill
from tests.storms.round import Key, Killed

STEPS = ("clearing", "removing-data", "removed-data", "forgotten", "disowned")
DIRECTORIES, FILES = 20, 100  # a removal takes a moment
KEY = Key("redis", "cleared")
OTHER = Key("redis", "sweeps")


class Clearers(Hazard):
    """Kill keeper, watchdog and user of an instance; then kill the next visitor in the middle of the removal.

    One half of the visitors pauses at a named step of the removal, and is killed there. The others are killed when the
    data directory has begun to shrink.
    """

    name: ClassVar[str] = "clearers"
    keys: ClassVar[tuple[Key, ...]] = (KEY, OTHER)

    def run(self) -> None:
        while time.monotonic() < self.round.until:
            with contextlib.suppress(Killed, AssertionError):
                self.run_once()

    def run_once(self) -> None:
        with entered(self.round, KEY) as holder:
            data = folder(self.round, holder, KEY) if holder is not None else None
            if holder is None or data is None or not fill(data) or not keeper_pairs.kill_one(self.round, KEY.name):
                return
            kill(holder)
        if self.random.random() < 0.5:
            self.kill_at_step(self.random.choice(STEPS))
        else:
            self.kill_at_work(data)

    def visit(self, visitor: Actor) -> None:
        """Enter the dead key, or another one, which removes the instance of the dead key on the way."""
        key = self.random.choice((KEY, OTHER))
        visitor.send("enter", service=key.service, arguments={"name": key.name})

    def kill_at_step(self, step: str) -> None:
        with users.user(self.round.home, self.random, step) as visitor:
            self.visit(visitor)
            while not (paused := visitor.paused_file.exists()) and not is_reply_ready(visitor, 0.01):
                pass  # a user that hangs without a pause is a matter of other threads
            pid = int(visitor.paused_file.read_text()) if paused else 0
            if pid == visitor.process.pid:
                self.record_kill()
            elif pid:  # a keeper that this visitor started
                self.round.record_victim(KEY.name, "keeper", "watchdog")
                self.round.record_victim(OTHER.name, "keeper", "watchdog")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.record_kill()
            kill(visitor)
            if paused:
                visitor.resume()  # a keeper of this visitor does not pause any more
            else:
                visitor.paused_file.write_text("")

    def kill_at_work(self, data: Path) -> None:
        with users.user(self.round.home, self.random) as visitor:
            before = entries(data)
            self.visit(visitor)
            while not is_reply_ready(visitor, 0.0005):
                if entries(data) < before:
                    break
            time.sleep(self.random.random() * 0.01)
            in_the_middle = data.exists() and not is_reply_ready(visitor, 0) and visitor.process.poll() is None
            kill(visitor)
            if in_the_middle:
                self.record_kill()

    def record_kill(self) -> None:
        self.round.tally.kills["clearer"] += 1
        self.round.victims[KEY.name] |= {"keeper", "watchdog"}  # its remains wait for a visitor
        self.count()


def fill(data: Path) -> bool:
    """Add files to a data directory; False if it is gone."""
    try:
        for number in range(DIRECTORIES):
            (data / f"d{number}").mkdir()
            for file in range(FILES):
                (data / f"d{number}" / str(file)).touch()
    except FileNotFoundError:
        return False
    return True


def entries(data: Path) -> int:
    try:
        return sum(len(os.listdir(data / name)) for name in os.listdir(data) if name.startswith("d"))
    except (FileNotFoundError, NotADirectoryError):
        return 0
