"""The files of one key: its lock, its state file, and the directory of its current instance.

Only this module changes a phase, and only under the key's lock.

    home/postgres-1f0c2a9b7d3e.lock        held while a process starts, stops or clears; removed last, under the lock
    home/postgres-1f0c2a9b7d3e.json        the state file: the current instance and its phase
    home/postgres-1f0c2a9b7d3e.<id>/       that instance: leases/, service.log, preferences of its users
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servicectx.errors import HomeError
from servicectx.state import container, keep_record, leases, marked, names, origin, owned_files, presence, storage
from servicectx.state.key_lock import FileLock, KeyLock
from servicectx.state.private_file import NO_SPACE_CURE, write_private
from servicectx.state.record import (
    Processes,
    State,
    StateError,
    decode,
    decode_processes,
    encode,
    encode_processes,
)
from servicectx.system import reading
from servicectx.system.checkpoints import step
from servicectx.system.originals import json
from servicectx.system.processes import Process

LINGER = "linger-"
KEEP = "keep-data"
UP = "up"
RESTARTS = "restarts"  # requests of users; see `restart_requests`
STATE = "state.json"
KEEPER, WATCHDOG = "keeper.lock", "watchdog.lock"
RESERVE = "reserve"  # space for a failure record on a full file system
RESERVE_SIZE = 16384  # bytes
BEFORE = "before.json"


class Instance:
    """The files and locks of one key below `home`. It starts and ends no processes.

    `make_lock` makes the lock of the key: `KernelLock` in a keeper, by default filelock's.
    """

    def __init__(self, home: Path, key: str, make_lock: Callable[[Path], FileLock] | None = None) -> None:
        self.home = home
        self.key = key
        self._state_file = home / f"{key}.json"
        self._lock = KeyLock(home / f"{key}.lock", self._state_file, make_lock)
        self._seen: tuple[str, State] | None = None  # the last text of the state file, decoded
        self._directories: dict[str, Path] = {}

    # -- reading: without a lock ---------------------------------------------------------------------------------

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
            (pid, start), raw = json.loads(reading.read_text(self.directory(id) / role, 65536) or "")
            return Process(int(pid), str(start)), origin.decode(raw)
        except (reading.Unreadable, ValueError, TypeError, RecursionError):
            return None

    def traffic(self, id: str) -> int:
        """A number that changes with every join and leave."""
        try:
            return (self.directory(id) / "leases").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    # -- changing: under the key's lock ----------------------------------------------------------------------------

    def locked(
        self, wait: float = 0.0, held: list[leases.Releasable] | None = None
    ) -> contextlib.AbstractContextManager[bool]:
        """Hold the key's lock for the block, as `KeyLock.locked`."""
        return self._lock.locked(wait, held)

    def remove_lock_of_the_dead(self) -> None:
        """Remove the lock file of a dead holder. It stays while the lock is held, and beside a state file."""
        if self._lock.path.exists() and not presence.is_held(self._lock.path):
            with self.locked():
                pass

    def holder(self) -> str:
        """A description of the process that holds the key's lock, for messages."""
        return self._lock.holder()

    def create(self, id: str) -> Path:
        """Create the directory of a new instance."""
        path = self.directory(id)
        try:
            path.mkdir(mode=0o700)
            (path / "leases").mkdir(mode=0o700)
            (path / RESTARTS).mkdir(mode=0o700)
            _reserve(path / RESERVE)
        except OSError as error:
            raise HomeError(path=str(path), problem=f"not made: {error.strerror}", cure=NO_SPACE_CURE) from None
        return path

    def write(self, state: State) -> None:
        """Make `state` the current one. The instance's directory gets a copy, for `recover`."""
        text = encode(state)
        write_private(self.directory(state.id) / STATE, text)
        write_private(self._state_file, text)

    def write_failure(self, state: State) -> None:
        """As `write`, also on a full file system: the reserve is freed first."""
        (self.directory(state.id) / RESERVE).unlink(missing_ok=True)
        self.write(state)

    def keep_for_write_back(self, id: str) -> None:
        """Give the state file a second name, a hard link that takes no space."""
        with contextlib.suppress(OSError):
            os.link(self._state_file, self.directory(id) / BEFORE)

    def write_back(self, state: State) -> None:
        """As `write`, for the state of `keep_for_write_back`, also on a full file system."""
        try:
            self.write(state)
            (self.directory(state.id) / BEFORE).unlink(missing_ok=True)
        except (OSError, HomeError):
            os.replace(self.directory(state.id) / BEFORE, self._state_file)

    def recover(self) -> State | None:
        """The state from an instance's own copy, for a lost or damaged state file.

        A directory without a copy was left by a requester killed at its first steps, or by a process killed during
        its removal. It is removed here, unless a lease or a lock in it is held: then another version of this
        package wrote a copy that this version cannot read. A state file without any directory is removed, too.
        """
        for id in self.ids():
            if (state := self.own_copy(id)) is not None:
                return state
            if not self.is_attended(id) and not self.is_used(id):
                self.remove_directory(id)
        listing = os.listdir(self.home)
        left = names.of_key(listing, self.key, names.INSTANCE)
        for name in names.of_key(listing, self.key, names.TEMPORARY, *(() if left else (names.STATE,))):
            self._remove(name)
        return None

    def ids(self) -> list[str]:
        """The ids of this key's directories; several where a process was killed during a removal."""
        listing = names.of_key(os.listdir(self.home), self.key, names.INSTANCE)
        return [name.partition(".")[2] for name in listing]

    def own_copy(self, id: str) -> State | None:
        """The state in the directory of the instance itself. It exists as long as the data may exist."""
        try:
            state = _decoded(self.directory(id) / STATE)
        except StateError:
            return None
        return state if state is not None and state.id == id else None

    def remove(self, state: State, keep_data: bool = False) -> None:
        """Remove the instance, its data and its record. Its processes must be gone.

        Data that a user requested to keep stays; `keep_data` replaces that request when the directory is lost. The copy
        of the state is removed after the data, and before the rest of the directory. So if this process is killed, the
        next one finds the data by the copy, or finds a directory without data.
        """
        id = state.id
        if self._is_current(id):
            self.forget()
        step("forgotten")
        owned_files.remove_owned(self.directory(id))
        self.remove_data(state, keep_data)
        self.remove_directory(id)

    def made_data(self, state: State) -> bool:
        """Whether the instance created its data. Kept data that it was opened on belongs to a user."""
        return bool(state.data_directory) and Path(state.data_directory or "").name == self.directory(state.id).name

    def remove_data(self, state: State, keep_data: bool = False) -> None:
        """Remove the data of an instance, or mark it as kept.

        Data that a process has locked stays, and so does kept data that the instance was opened on.
        """
        if not self.made_data(state):
            return
        path = Path(state.data_directory or "")
        if keep_data or self.keeps_data(state.id) or keep_record.has_record(path):
            keep_record.publish(self.directory(state.id), path)
            self.mark_kept(state.id, path)
        elif not container.is_kept(path) and not container.remove(path):
            self._note_place(state.id, path)

    def mark_kept(self, id: str, data: Path) -> None:
        """Mark data as kept: only `servicectx prune --kept-data` removes it."""
        container.keep(data)
        self._note_place(id, data)

    def _note_place(self, id: str, data: Path) -> None:
        """Record in the home the path of data that outlives the instance in a directory of the caller's.

        `prune` searches all other data roots itself.
        """
        if data.is_dir() and storage.is_given(data.parent):
            with contextlib.suppress(HomeError):
                write_private(self.home / f"{self.key}.{id}.data", json.dumps(str(data)))

    def remove_directory(self, id: str) -> None:
        """Remove the instance's directory, the copy of its state first."""
        directory = self.directory(id)
        if not directory.is_symlink():
            with contextlib.suppress(OSError):
                os.unlink(directory / STATE)
        step("disowned")
        self._remove(directory.name)

    def forget(self) -> None:
        """Remove the state file. Raises HomeError where it stays: the directory must stay then, too."""
        self._remove(f"{self._state_file.name}.tmp")
        self._forget()

    def _forget(self) -> None:
        self._remove(self._state_file.name)
        if os.path.lexists(self._state_file):
            problem, cure = "not removed", "make its directory writable, or set SERVICECTX_HOME to another directory"
            raise HomeError(path=str(self._state_file), problem=problem, cure=cure)

    def forget_unlocked(self, id: str) -> None:
        """As `forget`, in the keeper of the instance `id` and without the key's lock. Other instances stay.

        The temporary file stays, because the process with the lock may be writing it.

        The state file cannot change between check and removal: a process with the lock publishes no other instance
        before this keeper is dead, as long as the directory has a copy of the state. Raises HomeError, StateError.
        """
        state = self.look()
        if state is not None and state.id == id:
            self._forget()

    def _is_current(self, id: str) -> bool:
        """Whether the state file names this instance, or none."""
        try:
            state = self.look()
        except (StateError, HomeError):
            return True
        return state is None or state.id == id

    def _remove(self, name: str) -> None:
        """Remove one of this key's own entries in the home. Nothing happens in a home without our marker."""
        found = marked.existing(self.home, marked.HOME)
        if found is not None:
            with found:
                found.remove(name)


def _decoded(path: Path) -> State | None:
    text = _text(path)
    return None if text is None else decode(text)


def _text(path: Path) -> str | None:
    try:
        return reading.read_text(path)
    except reading.Unreadable as error:
        raise StateError(str(error)) from None


def _reserve(path: Path) -> None:
    """Allocate real blocks: a sparse file could not be filled on a full file system."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, RESERVE_SIZE)
        else:
            os.write(descriptor, bytes(RESERVE_SIZE))
    finally:
        os.close(descriptor)
