"""The files of the instances of one key that are read and written without the key's lock."""

import contextlib
import os
from pathlib import Path
from typing import Any

from servicectx.errors import HomeError
from servicectx.state import leases, origin, presence
from servicectx.state.private_file import NO_SPACE_CURE, write_private
from servicectx.state.record import Processes, State, StateError, decode, decode_processes, encode_processes
from servicectx.system import reading
from servicectx.system.originals import json
from servicectx.system.processes import Process

LINGER = "linger-"
KEEP = "keep-data"
UP = "up"
STATE = "state.json"
KEEPER, WATCHDOG = "keeper.lock", "watchdog.lock"


class InstanceFiles:
    """The files of one key below `home`: state, users, preferences of users, processes."""

    def __init__(self, home: Path, key: str) -> None:
        self.home = home
        self.key = key
        self._state_file = home / f"{key}.json"
        self._seen: tuple[str, State] | None = None  # the last text of the state file, decoded
        self._directories: dict[str, Path] = {}

    def look(self) -> State | None:
        """The current state, or None without a state file. Raises StateError for a file of another version or kind."""
        text = _text(self._state_file)
        if text is None:
            return None
        if self._seen is None or self._seen[0] != text:  # a join looks twice
            self._seen = text, decode(text)
        return self._seen[1]

    def directory(self, id: str) -> Path:
        if id not in self._directories:
            self._directories[id] = self.home / f"{self.key}.{id}"
        return self._directories[id]

    def _file(self, id: str, name: str) -> str:
        """The path of a file in the directory of an instance, as a text: a join opens several."""
        return f"{self.directory(id)}/{name}"

    def users(self, id: str) -> list[dict[str, Any]]:
        """The current users of the instance `id`: pid, command, since."""
        return leases.users(self.directory(id) / "leases")

    def is_used(self, id: str) -> bool:
        return leases.is_used(self.directory(id) / "leases")

    def wait_until_unused(self, id: str) -> None:
        """Block until no lease on `id` is held."""
        leases.wait_until_free(self.directory(id) / "leases")

    def lease(self, id: str, start: str) -> leases.Lease | None:
        """Take a lease on the instance `id`; None when it is gone. It holds in every phase: take it, then look."""
        return leases.take(self.directory(id) / "leases", start)

    # -- preferences of users, read by the keeper: one file each, so that no lock is needed ------------------------

    def record_preferences(self, id: str, linger: float, keep_data: bool) -> None:
        """Record a user's preferences. Raises HomeError on a full file system; does nothing for a removed instance."""
        names = ([f"{LINGER}{linger!r}"] if linger > 0 else []) + ([KEEP] if keep_data else [])
        for path in (self.directory(id) / name for name in names):
            try:
                path.touch(mode=0o600)
            except FileNotFoundError:
                return
            except OSError as error:
                raise HomeError(path=str(path), problem=f"not made: {error.strerror}", cure=NO_SPACE_CURE) from None

    def linger(self, id: str) -> float:
        """Seconds to stay up after the last user: the longest time that a user requested."""
        seconds = [0.0]
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(self.directory(id)):
                with contextlib.suppress(ValueError):
                    seconds += [float(name.removeprefix(LINGER))] if name.startswith(LINGER) else []
        return max(seconds)

    def mark_up(self, id: str) -> None:
        """Record that `servicectx up` started or joined the instance, for all programs of its scope."""
        with contextlib.suppress(OSError):  # without the record a run starts a server of its own
            (self.directory(id) / UP).touch(mode=0o600)

    def is_up(self, id: str) -> bool:
        return (self.directory(id) / UP).exists()

    def keeps_data(self, id: str) -> bool:
        return (self.directory(id) / KEEP).exists()

    # -- processes: written by the keeper, read by other processes that check whether it lives ---------------------

    def hold(self, id: str, role: str, process: Process) -> None:
        """In a keeper or watchdog: hold the lock of that role until this process ends.

        Raises HomeError when another process has removed the instance: this process must then stop.
        """
        path = self.directory(id) / role
        try:
            presence.hold(path, json.dumps([process, origin.here()]))
        except FileNotFoundError:
            raise HomeError(path=str(path), problem="the instance was removed", cure="start it again") from None

    def keeper_holds_lock(self, id: str) -> bool:
        """Whether its keeper lives, in any PID namespace."""
        return presence.is_held(self._file(id, KEEPER))

    def is_attended(self, id: str) -> bool:
        """Whether its keeper or its watchdog lives, in any PID namespace, and will remove the instance."""
        return any(presence.is_held(self._file(id, role)) for role in (KEEPER, WATCHDOG))

    def record_processes(self, id: str, processes: Processes) -> None:
        """Record the processes. Raises HomeError when the instance was removed: its keeper must then stop."""
        record = processes._replace(origin=origin.here())
        write_private(self.directory(id) / "processes.json", encode_processes(record))

    def processes(self, id: str) -> Processes | None:
        """The processes of the instance from the keeper's record; from the lock files where that record is damaged."""
        try:
            text = reading.read_text(self._file(id, "processes.json"), 65536)
        except reading.Unreadable:
            text = None
        return (decode_processes(text) if text is not None else None) or self._lock_holders(id)

    def place(self, id: str) -> origin.Origin | None:
        """Boot and PID namespace of its keeper or watchdog; None while neither is recorded."""
        if (processes := self.processes(id)) is not None:
            return processes.origin
        watchdog = self._holder(id, WATCHDOG)  # its keeper has not read its command yet
        return watchdog[1] if watchdog is not None else None

    def _lock_holders(self, id: str) -> Processes | None:
        keeper, watchdog = self._holder(id, KEEPER), self._holder(id, WATCHDOG)
        if keeper is None:
            return None
        return Processes(keeper[0], watchdog[0] if watchdog is not None else None, None, keeper[1])

    def _holder(self, id: str, role: str) -> tuple[Process, origin.Origin] | None:
        """The process that holds or held the lock of that role, from the text of the file."""
        try:
            (pid, start), raw = reading.read_json(self.directory(id) / role, 65536)
            return Process(int(pid), str(start)), origin.decode(raw)
        except (reading.Unreadable, ValueError, TypeError, OverflowError):
            return None

    def traffic(self, id: str) -> int:
        """A number that changes with every join and leave."""
        try:
            return (self.directory(id) / "leases").stat().st_mtime_ns
        except FileNotFoundError:
            return 0


def decoded(path: Path) -> State | None:
    """The state in a file, None without one. Raises StateError."""
    text = _text(path)
    return None if text is None else decode(text)


def _text(path: Path) -> str | None:
    try:
        return reading.read_text(path)
    except reading.Unreadable as error:
        raise StateError(str(error)) from None
