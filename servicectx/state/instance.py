"""One key's place on disk: its lock, its state file, and the directory of its current instance.

This is the only place where a phase changes, and it changes under the key's lock.

    home/postgres-1f0c2a9b7d3e.lock        held while somebody starts, stops or clears; removed as the last act under it
    home/postgres-1f0c2a9b7d3e.json        the state file: which instance is the current one, and its phase
    home/postgres-1f0c2a9b7d3e.<id>/       that instance: leases/, service.log, wishes of its users
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx.errors import HomeError
from servicectx.state import container, keep_record, leases, marked, names, origin, owned_files, presence, storage
from servicectx.state.record import (
    Processes,
    State,
    StateError,
    decode,
    decode_processes,
    encode,
    encode_processes,
)
from servicectx.system import faults, reading
from servicectx.system.checkpoints import step
from servicectx.system.interrupts import run_to_end
from servicectx.system.originals import json, open, time
from servicectx.system.processes import Process

if TYPE_CHECKING:
    from filelock import FileLock

_CURE = "free some space, or set SERVICECTX_HOME to a directory that can be written and has some"
LINGER = "linger-"
KEEP = "keep-data"
STATE = "state.json"
KEEPER, WATCHDOG = "keeper.lock", "watchdog.lock"
RESERVE = "reserve"  # space that a failure record takes when the file system is full
RESERVE_SIZE = 16384
BEFORE = "before.json"


class Instance:
    """The place of one key below `home`. It knows files and locks; processes are somebody else's business."""

    def __init__(self, home: Path, key: str) -> None:
        self.home = home
        self.key = key
        self._lock_file = home / f"{key}.lock"
        self._state_file = home / f"{key}.json"

    # -- looking: no lock needed ---------------------------------------------------------------------------------

    def look(self) -> State | None:
        """The current state, or None where there is none. Raises StateError for a file that this version did not write,
        whatever is in its place."""
        return _decoded(self._state_file)

    def directory(self, id: str) -> Path:
        return self.home / f"{self.key}.{id}"

    def users(self, id: str) -> list[dict[str, Any]]:
        """Who holds the instance `id` now: pid, command, since."""
        return leases.users(self.directory(id) / "leases")

    def is_used(self, id: str) -> bool:
        return leases.is_used(self.directory(id) / "leases")

    def wait_until_unused(self, id: str) -> None:
        """Block until no lease on `id` is held."""
        leases.wait_until_free(self.directory(id) / "leases")

    def lease(self, id: str, start: str) -> leases.Lease | None:
        """Claim the instance `id`; None when it is gone. It holds in every phase: first claim, then look."""
        return leases.take(self.directory(id) / "leases", start)

    # -- wishes: what users ask of the keeper; a file each, so that no lock is needed -------------------------------

    def wish(self, id: str, linger: float, keep_data: bool) -> None:
        """Raises HomeError where the file system takes no more files. Nothing happens when the instance is gone."""
        names = ([f"{LINGER}{linger!r}"] if linger > 0 else []) + ([KEEP] if keep_data else [])
        for path in (self.directory(id) / name for name in names):
            try:
                path.touch(mode=0o600)
            except FileNotFoundError:
                return
            except OSError as error:
                raise HomeError(path=str(path), problem=f"not made: {error.strerror}", cure=_CURE) from None

    def linger(self, id: str) -> float:
        """Seconds to stay up after the last user, the longest that any user asked for."""
        wishes = [0.0]
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(self.directory(id)):
                with contextlib.suppress(ValueError):
                    wishes += [float(name.removeprefix(LINGER))] if name.startswith(LINGER) else []
        return max(wishes)

    def keeps_data(self, id: str) -> bool:
        return (self.directory(id) / KEEP).exists()

    # -- processes: written by the keeper, read by whoever must know whether it lives ------------------------------

    def hold(self, id: str, role: str, process: Process) -> None:
        """In a keeper or watchdog: hold the lock of that role until this process ends. Raises HomeError when the
        instance is gone: another process cleared it, and this one must not go on."""
        path = self.directory(id) / role
        try:
            presence.hold(path, json.dumps([process, origin.here()]))
        except FileNotFoundError:
            raise HomeError(path=str(path), problem="the instance was removed", cure="start it again") from None

    def is_kept(self, id: str) -> bool:
        """Whether its keeper lives, in whatever PID namespace."""
        return presence.is_held(self.directory(id) / KEEPER)

    def is_attended(self, id: str) -> bool:
        """Whether its keeper or its watchdog lives, in whatever PID namespace. Then it is theirs to remove."""
        return any(presence.is_held(self.directory(id) / role) for role in (KEEPER, WATCHDOG))

    def tell_processes(self, id: str, processes: Processes) -> None:
        """Raises HomeError when the instance is gone: another process cleared it, and its keeper must not go on."""
        record = processes._replace(origin=origin.here())
        write_private(self.directory(id) / "processes.json", encode_processes(record))

    def processes(self, id: str) -> Processes | None:
        """The processes that run it, as its keeper recorded them; where that is damaged, as its locks have it."""
        try:
            text = reading.read_text(self.directory(id) / "processes.json", 65536)
        except reading.Unreadable:
            text = None
        return (decode_processes(text) if text is not None else None) or self._holders(id)

    def place(self, id: str) -> origin.Origin | None:
        """Boot and PID namespace of its keeper or watchdog; None while neither has recorded them."""
        if (processes := self.processes(id)) is not None:
            return processes.origin
        watchdog = self._holder(id, WATCHDOG)  # its keeper has not read its order yet
        return watchdog[1] if watchdog is not None else None

    def _holders(self, id: str) -> Processes | None:
        keeper, watchdog = self._holder(id, KEEPER), self._holder(id, WATCHDOG)
        if keeper is None:
            return None
        return Processes(keeper[0], watchdog[0] if watchdog is not None else None, None, keeper[1])

    def _holder(self, id: str, role: str) -> tuple[Process, origin.Origin] | None:
        """The process that holds or held the lock of that role, as it wrote into the file."""
        try:
            (pid, start), raw = json.loads(reading.read_text(self.directory(id) / role, 65536) or "")
            return Process(int(pid), str(start)), origin.decode(raw)
        except (reading.Unreadable, ValueError, TypeError, RecursionError):
            return None

    def traffic(self, id: str) -> int:
        """A number that changes whenever somebody joins or leaves."""
        try:
            return (self.directory(id) / "leases").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    # -- changing: under the key's lock ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self, wait: float = 0.0) -> Iterator[bool]:
        """The key's lock for the block, or False when it was not free within `wait` seconds."""
        from filelock import Timeout

        lock = leases.key_lock(self._lock_file)
        until = time.monotonic() + wait
        try:
            while not lock.is_locked:
                try:
                    lock.acquire(blocking=False)  # with a timeout it waits for ever where a test has frozen its clock
                except Timeout:
                    if time.monotonic() >= until:
                        raise
                    time.sleep(0.002)
        except Timeout:
            yield False
            return
        except OSError as error:
            cure = _CURE if self._lock_file.is_file() or not os.path.lexists(self._lock_file) else "remove it"
            raise HomeError(path=str(self._lock_file), problem=f"no lock: {error.strerror}", cure=cure) from None
        try:
            self._sign()
            yield True
        finally:
            try:
                self._unlock(lock)
            except BaseException:
                run_to_end(lambda: self._unlock(lock))  # a signal handler raised in the middle of it
                raise

    def _unlock(self, lock: "FileLock") -> None:
        """Give the key's lock back. The second time nothing happens."""
        if not lock.is_locked:
            return
        try:
            if not os.path.lexists(self._state_file):
                # Safe as the last act under the lock: whoever still waits on this file sees that its name is gone
                # (filelock looks) and tries again on the new one.
                self._lock_file.unlink(missing_ok=True)
        finally:
            lock.release(force=True)

    def holder(self) -> str:
        """Who holds the key's lock, for people."""
        try:
            said = json.loads(reading.read_text(self._lock_file, 65536) or "")
            age = time.time() - said["since"]
            return f"process {said['pid']} ({' '.join(said['command'])}) has held the lock for {age:.1f} s"
        except (reading.Unreadable, ValueError, KeyError, TypeError):
            return "nobody says who holds the lock"

    def create(self, id: str) -> Path:
        """The directory of a new instance."""
        path = self.directory(id)
        try:
            path.mkdir(mode=0o700)
            (path / "leases").mkdir(mode=0o700)
            _reserve(path / RESERVE)
        except OSError as error:
            raise HomeError(path=str(path), problem=f"not made: {error.strerror}", cure=_CURE) from None
        return path

    def write(self, state: State) -> None:
        """Make `state` the current one. A copy stays in the instance's directory, for `recover`."""
        text = encode(state)
        write_private(self.directory(state.id) / STATE, text)
        write_private(self._state_file, text)

    def write_failure(self, state: State) -> None:
        """As `write`, for a record that must reach its readers although the file system may be full."""
        (self.directory(state.id) / RESERVE).unlink(missing_ok=True)
        self.write(state)

    def keep_for_write_back(self, id: str) -> None:
        """Keep the state file's content under a second name, which takes no space."""
        with contextlib.suppress(OSError):
            os.link(self._state_file, self.directory(id) / BEFORE)

    def write_back(self, state: State) -> None:
        """As `write`, for the state that `keep_for_write_back` kept: on a full file system too."""
        try:
            self.write(state)
            (self.directory(state.id) / BEFORE).unlink(missing_ok=True)
        except (OSError, HomeError):
            os.replace(self.directory(state.id) / BEFORE, self._state_file)

    def recover(self) -> State | None:
        """The state in an instance's own copy, for when the state file is lost or damaged.

        Directories of this key without a copy were left by a starter killed at its first steps, or by a process killed
        while it removed them; they are removed, unless a lease or a lock in them is held: then another version of this
        package wrote what cannot be read.
        """
        for id in self.ids():
            if (state := self.own_copy(id)) is not None:
                return state
            if not self.is_attended(id) and not self.is_used(id):
                self.remove_directory(id)
        for name in names.of_key(os.listdir(self.home), self.key, names.TEMPORARY):
            self._remove(name)
        return None

    def ids(self) -> list[str]:
        """The instances of this key that have a directory; several, where a process was killed as it removed one."""
        listing = names.of_key(os.listdir(self.home), self.key, names.INSTANCE)
        return [name.partition(".")[2] for name in listing]

    def own_copy(self, id: str) -> State | None:
        """The state in the directory of the instance itself. It is there for as long as its data may be."""
        try:
            state = _decoded(self.directory(id) / STATE)
        except StateError:
            return None
        return state if state is not None and state.id == id else None

    def remove(self, state: State, keep_data: bool = False) -> None:
        """Remove the instance, its data and its record. Its processes must be gone.

        Data that a user wished to keep stay; `keep_data` is for when the wish went with the directory. The copy of the
        state goes after the data, and before all else in the directory: whenever this process is killed, the next one
        either finds the data by it, or finds a directory that has no data.
        """
        id = state.id
        if self._is_current(id):
            self.forget()
        step("forgotten")
        owned_files.remove_owned(self.directory(id))
        self.remove_data(state, keep_data)
        self.remove_directory(id)

    def made_data(self, state: State) -> bool:
        """Whether the data are the instance's own. Kept data that it was opened on are a user's."""
        return bool(state.data_directory) and Path(state.data_directory or "").name == self.directory(state.id).name

    def remove_data(self, state: State, keep_data: bool = False) -> None:
        """Remove the data of an instance, or mark them as kept. Data that a process has locked stay, and so do kept
        data that the instance was opened on."""
        if not self.made_data(state):
            return
        path = Path(state.data_directory or "")
        if keep_data or self.keeps_data(state.id) or keep_record.has_record(path):
            keep_record.publish(self.directory(state.id), path)
            self.mark_kept(state.id, path)
        elif not container.is_kept(path) and not container.remove(path):
            self._note_place(state.id, path)

    def mark_kept(self, id: str, data: Path) -> None:
        """Mark data as kept: no process removes them any more, but for `servicectx prune --kept-data`."""
        container.keep(data)
        self._note_place(id, data)

    def _note_place(self, id: str, data: Path) -> None:
        """Note in the home where data are that outlive the instance, for `prune`. It looks in all places but those in
        directories of the caller's."""
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
        """Remove the state file."""
        for name in (self._state_file.name, f"{self._state_file.name}.tmp"):
            self._remove(name)

    def _is_current(self, id: str) -> bool:
        """Whether the state file names this instance, or none."""
        try:
            state = self.look()
        except (StateError, HomeError):
            return True
        return state is None or state.id == id

    def _remove(self, name: str) -> None:
        """Remove one of this key's own entries in the home. Without a home that carries our marker there is none."""
        found = marked.existing(self.home, marked.HOME)
        if found is not None:
            with found:
                found.remove(name)

    def _sign(self) -> None:
        holder = {"pid": os.getpid(), "command": sys.argv or ["python"], "since": time.time()}
        with contextlib.suppress(OSError):
            self._lock_file.write_text(json.dumps(holder))


def _decoded(path: Path) -> State | None:
    try:
        text = reading.read_text(path)
    except reading.Unreadable as error:
        raise StateError(str(error)) from None
    return None if text is None else decode(text)


def _reserve(path: Path) -> None:
    """Take space that is real: a hole would promise what a full file system cannot give."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, RESERVE_SIZE)
        else:
            os.write(descriptor, bytes(RESERVE_SIZE))
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Write a private file, whole or not at all, in place of whatever has its name."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        try:
            _write_new(temporary, text)
        except FileExistsError:  # a writer was killed, or it is something else
            _remove_beside(temporary)
            _write_new(temporary, text)
        try:
            os.replace(temporary, path)
        except IsADirectoryError:
            _remove_beside(path)
            os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # a read-only file system
            temporary.unlink(missing_ok=True)
        raise faults.home_error(error, "not written", str(path)) or HomeError(
            path=str(path), problem=f"not written: {error.strerror}", cure=_CURE
        ) from None


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _remove_beside(path: Path) -> None:
    """Remove one of our own files that is something else than a file."""
    from servicectx.system.removal import remove_entry

    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_entry(folder, path.name)
    finally:
        os.close(folder)
