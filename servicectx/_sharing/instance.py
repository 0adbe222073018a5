"""One key's place on disk: its lock, its state file, and the directory of its current instance.

This is the only place where a phase changes, and it changes under the key's lock.

    home/postgres-1f0c2a9b7d3e.lock        held while somebody starts, stops or clears; removed as the last act under it
    home/postgres-1f0c2a9b7d3e.json        the state file: which instance is the current one, and its phase
    home/postgres-1f0c2a9b7d3e.<id>/       that instance: leases/, service.log, wishes of its users
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from servicectx._sharing import handouts, keep_record, leases
from servicectx._sharing.removal import remove_tree
from servicectx._sharing.state import (
    Processes,
    State,
    StateError,
    decode,
    decode_processes,
    encode,
    encode_processes,
)
from servicectx.errors import HomeError

_CURE = "free some space, or set SERVICECTX_HOME to a directory that can be written and has some"
LINGER = "linger-"
KEEP = "keep-data"


class Instance:
    """The place of one key below `home`. It knows files and locks; processes are somebody else's business."""

    def __init__(self, home: Path, key: str) -> None:
        self.home = home
        self.key = key
        self._lock_file = home / f"{key}.lock"
        self._state_file = home / f"{key}.json"

    # -- looking: no lock needed ---------------------------------------------------------------------------------

    def look(self) -> State | None:
        """The current state, or None where there is none. Raises StateError when the file is not one of ours."""
        try:
            descriptor = os.open(self._state_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"it cannot be read: {error.strerror}") from None
        try:
            if os.fstat(descriptor).st_uid != os.geteuid():
                raise HomeError(path=str(self._state_file), problem="it belongs to another user", cure="remove it")
            with open(descriptor, encoding="utf-8", closefd=False) as file:
                return decode(file.read())
        except UnicodeDecodeError:
            raise StateError("it is not text") from None
        finally:
            os.close(descriptor)

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
        with contextlib.suppress(FileNotFoundError):
            if linger > 0:
                (self.directory(id) / f"{LINGER}{linger!r}").touch(mode=0o600)
            if keep_data:
                (self.directory(id) / KEEP).touch(mode=0o600)

    def linger(self, id: str) -> float:
        """Seconds to stay up after the last user, the longest that any user asked for."""
        with contextlib.suppress(FileNotFoundError):
            names = os.listdir(self.directory(id))
            return max((float(name.removeprefix(LINGER)) for name in names if name.startswith(LINGER)), default=0.0)
        return 0.0

    def keeps_data(self, id: str) -> bool:
        return (self.directory(id) / KEEP).exists()

    # -- processes: written by the keeper, read by whoever must know whether it lives ------------------------------

    def tell_processes(self, id: str, processes: Processes) -> None:
        """Raises HomeError when the instance is gone: somebody cleared it, and its keeper must not go on."""
        _write(self.directory(id) / "processes.json", encode_processes(processes))

    def processes(self, id: str) -> Processes | None:
        try:
            return decode_processes((self.directory(id) / "processes.json").read_text())
        except OSError:
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
        from filelock import FileLock, Timeout

        lock = FileLock(self._lock_file, mode=0o600, thread_local=False, poll_interval=0.002, fallback_to_soft=False)
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise HomeError(path=str(self._lock_file), problem=f"no lock: {error.strerror}", cure=_CURE) from None
        try:
            self._sign()
            yield True
        finally:
            if not self._state_file.exists():
                # Safe as the last act under the lock: whoever still waits on this file sees that its name is gone
                # (filelock looks) and tries again on the new one.
                self._lock_file.unlink(missing_ok=True)
            lock.release(force=True)

    def holder(self) -> str:
        """Who holds the key's lock, for people."""
        try:
            said = json.loads(self._lock_file.read_text())
            age = time.time() - said["since"]
            return f"process {said['pid']} ({' '.join(said['command'])}) has held the lock for {age:.1f} s"
        except (OSError, ValueError, KeyError, TypeError):
            return "nobody says who holds the lock"

    def create(self, id: str) -> Path:
        """The directory of a new instance."""
        path = self.directory(id)
        try:
            path.mkdir(mode=0o700)
            (path / "leases").mkdir(mode=0o700)
        except OSError as error:
            raise HomeError(path=str(path), problem=f"not made: {error.strerror}", cure=_CURE) from None
        return path

    def write(self, state: State) -> None:
        """Make `state` the current one. A copy stays in the instance's directory, for `recover`."""
        text = encode(state)
        _write(self.directory(state.id) / "state.json", text)
        _write(self._state_file, text)

    def recover(self) -> State | None:
        """The state that the instance's own copy tells, for when the state file is lost or damaged.

        Directories of this key that tell nothing were left by a starter killed at its first steps; they are removed,
        unless somebody holds a lease there: then another version of this package wrote what cannot be read.
        """
        for path in self.home.glob(f"{self.key}.*"):
            if path.suffix == ".tmp" or path.is_symlink():
                path.unlink(missing_ok=True)
            elif path.is_dir():
                try:
                    state = decode((path / "state.json").read_text(encoding="utf-8"))
                    if self.directory(state.id) == path:
                        return state
                except (OSError, UnicodeDecodeError, StateError):
                    pass
                if not leases.is_used(path / "leases"):
                    remove_tree(path)
        return None

    def remove(self, state: State, keep_data: bool = False) -> None:
        """Remove the instance and its record. Its processes must be gone. Data that a user wished to keep stay, too
        when the wish went with the directory: then `keep_data` tells."""
        self.forget()
        handouts.take_back(self.directory(state.id))
        self.remove_data(state, keep_data)
        remove_tree(self.directory(state.id))

    def made_data(self, state: State) -> bool:
        """Whether the data are the instance's own. Kept data that it was opened on are a user's."""
        return bool(state.data_directory) and Path(state.data_directory or "").name == self.directory(state.id).name

    def remove_data(self, state: State, keep_data: bool = False) -> None:
        """Remove the instance's data, or see to it that data which a user wished to keep can be opened."""
        if not self.made_data(state):
            return
        container = Path(state.data_directory or "")
        if keep_data or self.keeps_data(state.id) or keep_record.has_record(container):
            keep_record.publish(self.directory(state.id), container)
        else:
            remove_tree(container)

    def forget(self) -> None:
        self._state_file.unlink(missing_ok=True)
        self._state_file.with_name(f"{self._state_file.name}.tmp").unlink(missing_ok=True)

    def _sign(self) -> None:
        holder = {"pid": os.getpid(), "command": sys.argv or ["python"], "since": time.time()}
        with contextlib.suppress(OSError):
            self._lock_file.write_text(json.dumps(holder))


def _write(path: Path, text: str) -> None:
    """Write a private file, whole or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HomeError(path=str(path), problem=f"not written: {error.strerror}", cure=_CURE) from None
