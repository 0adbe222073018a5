"""A process of a server's account that swaps directories of its own instance for links to a directory of root."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import ClassVar

from tests.actor import Actor
from tests.hostile.canary import Canary
from tests.hostile.intruder import ACCOUNT, FILL, Intruder
from tests.storms import keeper_pairs
from tests.storms.hazard import Hazard, entered, folder, kill
from tests.storms.round import Key, Killed, Round

KEY = Key("postgres", "links")
SECONDS = 4.0  # length of one race

# Swap random directories, on two levels, for links to the victim and back, until the tree is gone or the time is over.
SWAP = (
    FILL.format(files=50)
    + """
seconds = float(sys.argv[3])
until, swaps = time.monotonic() + seconds, 0
while time.monotonic() < until and os.path.isdir(tree):
    try:
        parent = random.choice((tree, inside, inside, tree + "/base"))
        path = parent + "/" + random.choice(os.listdir(parent))
        aside = f"{parent}/aside{swaps}"
        if os.path.islink(path) or not os.path.isdir(path):
            continue
        os.rename(path, aside)
        os.symlink(victim, path)
        swaps += 1
        time.sleep(random.random() * 0.003)
        if random.random() < 0.7:
            os.unlink(path)
            os.rename(aside, path)
    except (OSError, IndexError):
        pass
print(swaps)
"""
)


class Links(Hazard):
    """The canary must stay untouched while the instance is used, left, killed, and removed by a visitor."""

    name: ClassVar[str] = "swapped-links"
    keys: ClassVar[tuple[Key, ...]] = (KEY,)

    def __init__(self, round: Round) -> None:
        super().__init__(round)
        self.place = Path(tempfile.mkdtemp(prefix="sctest-canary-"))
        self.place.chmod(0o711)
        self.canary = Canary(self.place / "roots")

    @classmethod
    def problem(cls) -> str:
        if os.geteuid() != 0:
            return "only root can start processes of another account"
        return "" if ACCOUNT in {entry.pw_name for entry in pwd.getpwall()} else f"there is no account {ACCOUNT}"

    def run(self) -> None:
        with Intruder(pwd.getpwnam(ACCOUNT)) as intruder:
            while time.monotonic() < self.round.until:
                with contextlib.suppress(Killed):
                    self.run_once(intruder)
                self.check()

    def run_once(self, intruder: Intruder) -> None:
        with entered(self.round, KEY) as user:
            data = folder(self.round, user, KEY) if user is not None else None
            if user is None or data is None:
                return
            try:
                attack = intruder.start(SWAP, data, self.canary.path, SECONDS)
            except AssertionError:
                return  # the instance was killed, and its data is gone
            self.round.victims[KEY.name] |= {"keeper", "watchdog"}  # a race may leave remains for a visitor
            with self.round.disturbed(0.2, KEY.name):
                self.use(user)
                self.end(user)
                self.read_swaps(attack)

    def use(self, user: Actor) -> None:
        """Take databases, which are recycled, while the directories are swapped. Postgres may fail, but not hang."""
        for _ in range(self.random.randrange(3)):
            for command in ("isolate", "give_back"):
                reply = self.round.ask(user, KEY.name, command)
                if "error" in reply:
                    self.round.tally.excuses[f"{command}: {reply['error']}"] += 1
                    break

    def end(self, user: Actor) -> None:
        """End the instance in one of three ways. In the third one the next visitor removes it."""
        match self.random.randrange(3):
            case 0:
                self.round.leave(user, KEY.name)
            case 1:
                kill(user)
                self.round.tally.kills["user"] += 1
            case _:
                keeper_pairs.kill_one(self.round, KEY.name)
                kill(user)
                self.round.tally.kills["user"] += 1

    def read_swaps(self, attack: "subprocess.Popen[str]") -> None:
        assert attack.stdout is not None
        self.count(int(attack.stdout.read() or 0))

    def check(self) -> None:
        if changes := self.canary.changes():
            self.round.fault(f"the directory of root was changed: {changes}")

    def check_end(self) -> None:
        self.check()
        shutil.rmtree(self.place)
