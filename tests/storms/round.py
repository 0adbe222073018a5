"""One round of a storm: a home, random users, a killer and a detector."""

import contextlib
import math
import os
import random
import signal
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

import psutil

from servicectx import errors
from tests.actor import Actor
from tests.detector import Home
from tests.storms import users
from tests.storms.nursery import show_stack
from tests.storms.slowness import is_readable, slowness
from tests.storms.tally import Tally
from tests.storms.traces import Segments

HANG = 10.0  # seconds on an idle machine
END = 2.0  # seconds on an idle machine until nothing is left
LOOK = 0.25  # seconds between two looks at the servers
PAUSE = 0.1  # seconds; the longest pause after a kill
PROGRESS = 2  # replies to users between two kills: on each machine some users get far
STUCK = 2.0  # seconds without progress, on an idle machine, after which there is a kill nevertheless
MOST = 3  # users that are killed at once


class Key(NamedTuple):
    """One instance that users share. `storage`: the argument of `managed()`."""

    service: str
    name: str
    storage: str | None = None


KEYS = [Key("redis", "a"), Key("redis", "b"), Key("postgres", "c")]
OWN_ERRORS = {
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.ServiceCtxError)
}
KINDS = [*["user"] * 5, "keeper", "watchdog", "server", "both", "clearer"]


class Killed(Exception):
    """The user is dead."""


class Round:
    """One home, some users, one killer, one detector, and further threads."""

    def __init__(
        self,
        tally: Tally,
        seed: int,
        seconds: float,
        users: int,
        *,
        home: Home | None = None,
        keys: Iterable[Key] = KEYS,
        names: Iterable[str] = (),
    ) -> None:
        """`keys`: the instances of users. `names`: the names of instances that only other threads use."""
        self.tally = tally
        self.random = random.Random(seed)
        self.home = home or Home()
        self.until = time.monotonic() + seconds
        self.users = users
        self.keys = list(keys)
        self.names = [*(key.name for key in self.keys), *names]
        self.actors: dict[int, Actor] = {}
        self.killed: dict[str, list[float]] = defaultdict(list)
        self.victims: dict[str, set[str]] = defaultdict(set)
        self.server_pids: set[int] = set()
        self.segments = Segments()

    def run(self, *more: Callable[[], None]) -> None:
        """Run users, killer, detector and `more`, each in a thread, and check the end."""
        self.tally.slowness = slowness()
        threads = [threading.Thread(target=self.guarded, args=(self.use, number)) for number in range(self.users)]
        threads += [threading.Thread(target=self.guarded, args=(task,)) for task in (self.kill, self.watch, *more)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.check_end()
        self.home.remove()

    def guarded(self, task: Callable[..., None], *arguments: object) -> None:
        """Run a task of a thread. Its exception is a fault, too, because a storm without the task proves less."""
        try:
            task(*arguments)
        except Exception:
            self.fault(f"a thread of the storm failed: {traceback.format_exc()}")

    def fault(self, text: str) -> None:
        self.tally.fault(text)

    # -- users -----------------------------------------------------------------------------------------------------

    def use(self, number: int, key: Key | None = None) -> None:
        """One user process after the other, of random keys or of one key."""
        while time.monotonic() < self.until:
            with users.user(self.home, self.random) as actor:
                self.actors[number] = actor
                with contextlib.suppress(Killed):
                    while time.monotonic() < self.until:
                        self.use_once(actor, key)

    def use_once(self, actor: Actor, key: Key | None = None) -> None:
        """Enter, use and leave one instance."""
        key = key or self.random.choice(self.keys)
        name, began = key.name, time.monotonic()
        if self.enter(actor, key) is None:
            return
        used = self.ask(actor, name, "use")
        if used.get("used") != "42":
            self.excuse(name, began, f"using: {used.get('error')}", f"{name}: {used}")
        else:
            self.check_details(actor, key, began)
        time.sleep(self.random.random() * 0.2)
        self.leave(actor, name)

    def enter(self, actor: Actor, key: Key) -> dict[str, object] | None:
        """Enter an instance. None if that failed, with an error that is allowed now. Raises Killed."""
        began = time.monotonic()
        arguments = {"name": key.name} | ({"storage": key.storage} if key.storage else {})
        reply = self.ask(actor, key.name, "enter", service=key.service, arguments=arguments)
        if "error" not in reply:
            self.tally.entered += 1
            self.tally.joined += bool(reply["joined"])
            return reply
        self.failed_to_enter(key.name, began, str(reply["error"]), str(reply["message"]))
        return None

    def failed_to_enter(self, name: str, began: float, error: str, message: str) -> None:
        if error not in OWN_ERRORS:
            self.fault(f"entering {name}: {error} is not an error of the library: {message[:300]}")
        self.excuse(name, began, f"entering: {error}", f"{name}: {message}")

    def leave(self, actor: Actor, name: str) -> None:
        """Leave an instance, which never fails. Raises Killed."""
        left = self.ask(actor, name, "leave")
        if "error" in left:
            self.fault(f"leaving {name}: {left}")

    def check_details(self, actor: Actor, key: Key, began: float) -> None:
        """The details lead to the server of this key in this home."""
        reply = self.ask(actor, key.name, "directory")
        folder = str(reply.get("directory"))
        if "error" in reply:
            self.excuse(key.name, began, f"using: {reply['error']}", f"{key.name}: {reply}")
        elif f"/{key.name}-" not in folder or (key.storage is None and not folder.startswith(str(self.home.path))):
            self.fault(f"wrong details for {key.name} of {self.home.path}: the data of the server are in {folder}")

    def ask(self, actor: Actor, name: str, command: str, **arguments: object) -> dict[str, object]:
        """The reply to a command. Raises Killed for a dead process, and for a hanging one, which is a fault."""
        began = time.monotonic()
        try:
            actor.send(command, **arguments)
            if not self.is_reply_in_time(actor):
                self.fault(f"process {actor.process.pid} hangs in {command} {name}")
                show_stack(actor.process)
                actor.kill()
            reply = actor.hear(0)
        except (AssertionError, OSError, ValueError):
            raise Killed from None
        self.tally.record_wait(time.monotonic() - began, f"{command} {name}")
        return reply

    def is_reply_in_time(self, actor: Actor) -> bool:
        """Wait for a reply or the death of the process: `HANG` seconds, longer on a slow machine."""
        assert actor.process.stdout is not None
        return self.is_readable(actor.process.stdout)

    def is_readable(self, stream: IO[str]) -> bool:
        return is_readable(stream, HANG)

    def excuse(self, name: str, began: float, failure: str, context: str) -> None:
        """Record a failure as a fault, unless the server, keeper or watchdog of this key was killed shortly before."""
        if any(moment > began - 1.0 for moment in self.killed[name]):
            self.tally.excuses[failure] += 1
        else:
            self.fault(f"{failure} {context[:300]}")

    # -- killer and detector ---------------------------------------------------------------------------------------

    def kill(self) -> None:
        while time.monotonic() < self.until:
            time.sleep(self.random.random() * PAUSE)
            self.wait_for_progress()
            kind = self.random.choice(KINDS)
            if kind == "user" and self.actors:
                actors = list(self.actors.values())
                for actor in self.random.sample(actors, self.random.randint(1, min(MOST, len(actors)))):
                    self.kill_user(actor, "user")
            elif kind == "both":
                self.kill_both()
            elif kind == "clearer":
                self.kill_clearer()
            elif kind != "user":
                self.kill_helper(kind)

    def wait_for_progress(self) -> None:
        """Wait for some replies to users. If all of them wait for one start, only a kill ends that."""
        replies, until = self.tally.waits + PROGRESS, time.monotonic() + STUCK * self.tally.slowness
        while self.tally.waits < replies and time.monotonic() < min(until, self.until):
            time.sleep(0.005)

    def kill_helper(self, kind: str) -> None:
        found = {"keeper": self.home.keepers, "watchdog": self.home.watchdogs, "server": self.home.servers}[kind]()
        if found:
            self.kill_process(kind, self.random.choice(found))

    def kill_process(self, kind: str, victim: psutil.Process) -> bool:
        """Kill a process; False if it is dead or does not belong to this home."""
        with contextlib.suppress(psutil.Error):
            forked = kind != "watchdog" or victim.children()  # before its fork, a watchdog is the keeper, too
            self.record_victim(self.key_of(victim), kind, *([] if forked else ["keeper"]))
            victim.kill()
            self.tally.kills[kind] += 1
            return True
        return False

    def record_victim(self, name: str, *kinds: str) -> None:
        """From now on, and for a moment, users of the key may meet a dead server."""
        self.killed[name].append(time.monotonic() + 0.2)
        self.victims[name].update(kinds)

    @contextlib.contextmanager
    def disturbed(self, after: float, *names: str) -> Iterator[None]:
        """Users of these keys (default: of every key) may get errors during the block and `after` seconds later."""
        for name in names or self.names:
            self.killed[name].append(math.inf)
        yield
        for name in names or self.names:
            self.killed[name].remove(math.inf)
            self.killed[name].append(time.monotonic() + after)

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
                if self.random.random() < 0.5:
                    self.kill_user(actor, "clearer")

    def kill_user(self, actor: Actor, kind: str) -> None:
        """Kill a user with its process group, unless it is dead."""
        with contextlib.suppress(ProcessLookupError):
            if actor.process.poll() is None:
                os.killpg(actor.process.pid, signal.SIGKILL)
                self.tally.kills[kind] += 1

    def key_of(self, process: psutil.Process) -> str:
        text = " ".join(process.cmdline()) + " " + process.cwd()
        for name in self.names:
            if f"{name}-" in text.replace(str(self.home.path), "").replace("/data/", " "):
                for part in text.replace("/", " ").split():
                    if part.startswith(f"{name}-"):
                        return name
        raise psutil.NoSuchProcess(process.pid)

    def watch(self) -> None:
        while time.monotonic() < self.until:
            time.sleep(LOOK)
            servers: dict[str, list[psutil.Process]] = {}
            for process in self.home.servers():
                self.server_pids.add(process.pid)
                with contextlib.suppress(psutil.Error):
                    servers.setdefault(self.key_of(process), []).append(process)
            for name, found in servers.items():
                if len(found) > 1:
                    time.sleep(0.05)  # a fresh fork of a server that died has its command line for a moment
                    alive = {process.pid for process in self.home.servers()} & {process.pid for process in found}
                    if len(alive) > 1:
                        self.fault(f"{len(alive)} servers live for {name}: {found}")

    def check_end(self) -> None:
        """All users have left or are dead. If keeper *and* watchdog were killed, the next user removes the remains.

        It also removes the lock file of a user that was killed while it held the lock.
        """
        self.actors.clear()
        left = self.settled()
        only_locks = all(name.endswith(".lock") for name in left)
        if left and (only_locks or any({"keeper", "watchdog"} <= kinds for kinds in self.victims.values())):
            self.visit()
            left = self.settled()
        if left:
            self.fault(f"left behind in {self.home.path}: {left}")

    def settled(self) -> list[str]:
        """What is left `END` seconds later, or longer on a slow machine."""
        began, seconds, left = time.monotonic(), END, self.left()
        while left and time.monotonic() < began + seconds:
            time.sleep(0.02)
            left = self.left()
            if left and time.monotonic() >= began + seconds:
                seconds = max(seconds, END * slowness())
        return left

    def left(self) -> list[str]:
        return self.home.left() or self.segments.orphaned(self.server_pids)

    def visit(self) -> None:
        """One more user, which removes the remains of dead instances."""
        with Actor(self.home) as visitor:
            visitor.enter("redis", name="visitor")
            visitor.leave()
