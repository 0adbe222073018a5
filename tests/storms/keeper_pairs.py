"""Keepers and their watchdogs, killed together."""

import contextlib
import os
import signal
import time
from typing import ClassVar

import psutil

from tests.detector import BUSY
from tests.storms.hazard import Hazard
from tests.storms.round import Round


class KeeperPairs(Hazard):
    """Kill a keeper and its watchdog in one go. The server must end with its keeper."""

    name: ClassVar[str] = "keeper-pairs"

    def run(self) -> None:
        while time.monotonic() < self.round.until:
            killed = kill_one(self.round)
            self.count(killed)
            time.sleep(0.3 + self.random.random() if killed else 0.1)


def kill_one(round: Round, name: str | None = None) -> bool:
    """Kill keeper and watchdog of one instance, of the key `name` if it is given; False without such a pair."""
    for keeper in round.random.sample(found := round.home.keepers(), len(found)):
        with contextlib.suppress(psutil.Error):
            key, watchdog = round.key_of(keeper), keeper.parent()
            if watchdog is None or watchdog.pid == 1 or name not in (None, key):
                continue
            servers = [child for child in keeper.children() if "keeper.watchdog" not in " ".join(child.cmdline())]
            round.record_victim(key, "keeper", "watchdog")
            pair = [keeper, watchdog]
            round.random.shuffle(pair)
            if not all(process.is_running() for process in pair):
                continue
            for process in pair:
                os.kill(process.pid, signal.SIGKILL)
            round.tally.kills["keeper and watchdog"] += 2
            _check_servers(round, key, servers)
            return True
    return False


def _check_servers(round: Round, name: str, servers: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(servers, BUSY)
    if alive := [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]:
        round.fault(f"servers of {name} live {BUSY:g} s longer than their keeper and watchdog: {alive}")
