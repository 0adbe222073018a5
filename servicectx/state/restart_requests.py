"""Requests to restart the server of an instance: one file for each, between a user and the keeper.

    restarts/NAME           a request, which its requester keeps locked while it waits
    restarts/NAME.answer    the answer of the keeper

The kernel frees the lock of a dead requester. The keeper drops a request without a lock, so a request that was written
by a killed process is never carried out late. A dead keeper is recognised by its own lock.
"""

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from servicectx.state import leases, presence
from servicectx.state.instance import RESTARTS
from servicectx.state.private_file import write_private
from servicectx.system import reading
from servicectx.system.checkpoints import step
from servicectx.system.originals import json

ANSWER = ".answer"
MOST = 65536  # bytes of a request or an answer


class Pending(NamedTuple):
    """A request that the keeper has not answered yet."""

    name: str
    record: dict[str, Any]

    def is_valid(self) -> bool:
        """Whether the record has the fields that a requester of this version writes."""
        kill, empty, timeout = (self.record.get(name, "") for name in ("kill", "empty", "timeout"))
        has_time = timeout == float("inf") or (reading.is_bounded(timeout) and timeout >= 0)
        return isinstance(kill, bool) and isinstance(empty, bool) and has_time


class RestartRequests:
    """The requests of one instance."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory / RESTARTS

    def submit(self, record: dict[str, Any]) -> "Submitted":
        """Write a request. Raises FileNotFoundError where the instance is gone, or was started by an older version."""
        path = self.folder / os.urandom(8).hex()
        descriptor = leases.open_locked(path)
        try:
            os.write(descriptor, json.dumps(record).encode())
        except BaseException:
            os.close(descriptor)
            raise
        return Submitted(path, descriptor)

    def pending(self) -> list[Pending]:
        """The complete requests of living requesters, the oldest first. Requests of dead ones are removed."""
        found = []
        files = self._files()
        for path in sorted({path.with_suffix("") for path in files}, key=_written):
            answer = path.with_suffix(ANSWER)
            if not presence.is_held(path):
                _remove(path)
            elif answer not in files and (record := _read(path)) is not None:
                found.append(Pending(path.name, record))
        return found

    def answer(self, name: str, record: dict[str, Any]) -> None:
        write_private((self.folder / name).with_suffix(ANSWER), json.dumps(record))

    def _files(self) -> list[Path]:
        try:
            return list(self.folder.iterdir())
        except FileNotFoundError:
            return []


class Submitted:
    """A request of this process, withdrawn at the end of the block."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def __enter__(self) -> "Submitted":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for path in (self._path, self._path.with_suffix(ANSWER)):
            with contextlib.suppress(OSError):
                path.unlink()
        os.close(self._descriptor)

    def answer(self) -> dict[str, Any] | None:
        """The keeper's answer, or None before it."""
        return _read(self._path.with_suffix(ANSWER))


def _remove(path: Path) -> None:
    """Remove the request of a dead requester. Its lock is held meanwhile: see `leases.open_locked`.

    A new requester creates its file before it locks it. It either has the lock first, and the request stays, or finds
    the file without a name, and creates another.
    """
    descriptor = presence.take(path, 0.0)
    try:
        if descriptor is not None or not path.exists():
            step("removing-request")
            for left in (path, path.with_suffix(ANSWER)):
                left.unlink(missing_ok=True)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _read(path: Path) -> dict[str, Any] | None:
    """The record in a file; None for a missing or an incomplete one."""
    try:
        record = reading.read_json(path, MOST)
    except reading.Unreadable:
        return None
    return record if isinstance(record, dict) else None


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
