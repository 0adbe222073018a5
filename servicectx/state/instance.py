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

from servicectx.errors import HomeError
from servicectx.state import container, keep_record, leases, marked, names, owned_files, presence, storage
from servicectx.state.instance_files import STATE, InstanceFiles, decoded
from servicectx.state.key_lock import FileLock, KeyLock
from servicectx.state.private_file import NO_SPACE_CURE, write_private
from servicectx.state.record import State, StateError, encode
from servicectx.system.checkpoints import step
from servicectx.system.originals import json

RESTARTS = "restarts"  # requests of users; see `restart_requests`
RESERVE = "reserve"  # space for a failure record on a full file system
RESERVE_SIZE = 16384  # bytes
BEFORE = "before.json"


class Instance(InstanceFiles):
    """The files and locks of one key below `home`. It starts and ends no processes.

    `make_lock` makes the lock of the key: `KernelLock` in a keeper, by default filelock's.
    """

    def __init__(self, home: Path, key: str, make_lock: Callable[[Path], FileLock] | None = None) -> None:
        super().__init__(home, key)
        self._lock = KeyLock(home / f"{key}.lock", self._state_file, make_lock)

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
            state = decoded(self.directory(id) / STATE)
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
