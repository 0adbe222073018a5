"""The keeper's side of a pool: start the prefetcher on the first demand, and restart it when needed."""

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

QUICK = 1.0  # seconds; a prefetcher that ends sooner did no work
TRIES = 3
PAUSE = 0.5  # seconds after a failed spawn

_BOOTSTRAP = f"{search_path.BEGIN} from servicectx.isolation.prefetcher import main; main()"


class PrefetcherProcess:
    """At most one prefetcher at a time: none before the first demand, none after `TRIES` that failed at once."""

    def __init__(self, directory: Path, backend: dict[str, Any]) -> None:
        self._pool = Pool(directory)
        self._command = {"keeper": os.getpid(), "directory": str(directory), "backend": backend}
        self._process: subprocess.Popen[bytes] | None = None
        self._descriptor: int | None = None
        self._began = 0.0
        self._failed = 0
        self._paused_until = 0.0
        self._pool.make()
        self._events = self._pool.open_events()

    def descriptors(self) -> list[int]:
        """The descriptors to poll: one becomes readable when `look` has work."""
        if self._process is None:
            return [self._events] if self._events >= 0 and not self.is_paused() else []
        return [self._descriptor] if self._descriptor is not None else []

    def look(self) -> None:
        """Start a prefetcher where one is needed. The work of an ended prefetcher passes to the next one."""
        needed = False
        if self._process is not None and self._process.poll() is not None:
            needed = not self._pool.is_empty()
            self._ended(early=needed)
        if self._process is None and self._events >= 0 and not self.is_paused() and (needed or self._has_events()):
            try:
                self._begin()
            except OSError as error:  # no descriptor or process is free at the moment
                self._note(error)
                self._paused_until = time.monotonic() + PAUSE

    def is_paused(self) -> bool:
        """Whether `look` must be called again soon, although no descriptor becomes readable."""
        return time.monotonic() < self._paused_until

    def end(self) -> None:
        """Kill the prefetcher. A second call has no effect."""
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
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(json.dumps(self._command).encode() + b"\n")

    def _ended(self, early: bool) -> None:
        assert self._process is not None
        early |= self._process.returncode != 0
        quick = early and time.monotonic() - self._began < QUICK
        self._failed = self._failed + 1 if quick else 0
        self._process = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._failed >= TRIES:  # without a reader of the FIFO, users create and drop by themselves
            os.close(self._events)
            self._events = -1

    def _has_events(self) -> bool:
        return polling.is_readable(self._events, 0)

    @staticmethod
    def _note(error: OSError) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"the prefetcher could not be started: {error}\n")
            sys.stderr.flush()
