"""The keeper's side of a pool: it waits for the first demand and then has one process work ahead."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from servicectx.isolation.pool import Pool
from servicectx.keeper import search_path
from servicectx.system import platform, polling

QUICK = 1.0  # seconds; a helper that ends sooner did not get to work
TRIES = 3
PAUSE = 0.5  # seconds after one could not even be spawned

_BOOTSTRAP = f"{search_path.BEGIN} from servicectx.isolation.prefetcher import main; main()"


class PrefetcherProcess:
    """At most one helper process at a time. None before the first demand, and none after some that failed at once."""

    def __init__(self, directory: Path, order: dict[str, Any]) -> None:
        self._pool = Pool(directory)
        self._order = {"keeper": os.getpid(), "directory": str(directory), "helper": order}
        self._process: subprocess.Popen[bytes] | None = None
        self._descriptor: int | None = None
        self._began = 0.0
        self._failed = 0
        self._paused_until = 0.0
        self._pool.make()
        self._heard = self._pool.hear()

    def descriptors(self) -> list[int]:
        """What to poll: it becomes readable when `look` has something to do."""
        if self._process is None:
            return [self._heard] if self._heard >= 0 and not self.is_paused() else []
        return [self._descriptor] if self._descriptor is not None else []

    def look(self) -> None:
        """Start a helper where one is wanted, and see to one that has ended: what it had in hand is the next one's."""
        wanted = False
        if self._process is not None and self._process.poll() is not None:
            wanted = not self._pool.is_empty()
            self._ended(early=wanted)
        if self._process is None and self._heard >= 0 and not self.is_paused() and (wanted or self._is_asked()):
            try:
                self._begin()
            except OSError as error:  # no descriptor or process is left for it just now
                self._note(error)
                self._paused_until = time.monotonic() + PAUSE

    def is_paused(self) -> bool:
        """Whether `look` is to be called again soon, although no descriptor becomes readable."""
        return time.monotonic() < self._paused_until

    def end(self) -> None:
        """Kill it. The second time nothing happens."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._ended(early=False)

    def _begin(self) -> None:
        search = search_path.argument_again()
        command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, search, str(self._pool.directory)]
        self._began = time.monotonic()
        self._process = process = subprocess.Popen(command, stdin=subprocess.PIPE)
        self._descriptor = platform.pidfd_open(process.pid)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as orders:
            orders.write(json.dumps(self._order).encode() + b"\n")

    def _ended(self, early: bool) -> None:
        assert self._process is not None
        early |= self._process.returncode != 0
        quick = early and time.monotonic() - self._began < QUICK
        self._failed = self._failed + 1 if quick else 0
        self._process = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._failed >= TRIES:  # nobody hears any more: users do by themselves
            os.close(self._heard)
            self._heard = -1

    def _is_asked(self) -> bool:
        return polling.is_readable(self._heard, 0)

    @staticmethod
    def _note(error: OSError) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"nothing is made ahead of demand: {error}\n")
            sys.stderr.flush()
