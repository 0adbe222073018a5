"""Persistent data: one directory for each project and name, which outlives instances, crashes and reboots.

    ROOT/PROJECT-HASH/NAME/                    the container, as in `keeper.datadir`
        lock                                   held by the keeper and its server
        kept.json                              origin and password of the data, as of all kept data
        persistent.json                        written when the data is complete: after the set-up

Data without `persistent.json` is what a killed first start left. No user has seen it, and the next start removes it.
"""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.errors import HomeError, KeptDataError
from servicectx.state import container, keep_record, marked, paths, presence
from servicectx.system import directories, reading
from servicectx.system.originals import json, time
from servicectx.system.removal import remove_entry

FILE = "persistent.json"
VERSION = 1
LONGEST = 40  # characters of a readable name
PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]*", re.ASCII)  # names that are their own directory, on every file system
IN_USE = "stop that instance first: `servicectx status` lists it, and `servicectx down` stops it"


class PersistentRecord(NamedTuple):
    """The last run on the data. `scope`: in the form of state files. `ports`: "" for the port of the service itself.

    `setup`: the record of the set-up that made the data. With `accepts_setup` the next set-up is recorded without a
    run: the user has brought the data up to date.
    """

    service: str
    name: str
    scope: str
    program: str
    program_state: str
    server_version: str | None
    ports: dict[str, int]
    setup: dict[str, Any] | None = None
    accepts_setup: bool = False
    since: float = 0.0


class Found(NamedTuple):
    """Persistent data in the root. `in_use`: an instance runs on the data, in any home or PID namespace."""

    path: Path
    record: PersistentRecord
    in_use: bool


def place(scope: str, name: str) -> Path:
    """The container of the data with that name in a scope, which is in the form of state files. It may be missing."""
    directory = scope.removeprefix("project:").removeprefix("scope:")
    digest = _digest(scope)
    return paths.persistent() / f"{_readable(os.path.basename(directory)) or 'scope'}-{digest}" / _entry(name)


def make_parent(path: Path, account: str | None) -> None:
    """Create the marked directories above a container, and check that `account` can pass them. Raises HomeError."""
    root = path.parent.parent
    mode = marked.PASSABLE if account is not None else marked.PRIVATE
    try:
        paths.make_parents(root.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(root.parent, mode)
    except OSError as error:
        cure = "set SERVICECTX_DATA to a directory that you can write"
        raise HomeError(path=str(root), problem=f"it cannot be made: {error.strerror}", cure=cure) from None
    for directory in (root, path.parent):
        marked.make(directory, marked.PERSISTENT, mode)
    if account is not None and not paths.passable(path.parent):
        closed = next(part for part in [path.parent, *path.parent.parents][::-1] if not paths.passable(part))
        problem = f"the server runs as {account}, and this account cannot pass {closed}"
        cure = f"chmod o+x {closed}, or set SERVICECTX_DATA to a directory that all users can pass"
        raise HomeError(path=str(path), problem=problem, cure=cure)


def begin(path: Path) -> int:
    """In a keeper: create and lock an empty container. The lock holds while a process has the returned descriptor.

    Raises HomeError, OSError; KeptDataError where the data is in use, or complete by now.
    """
    with marked.claim(path.parent, marked.PERSISTENT) as parent, contextlib.suppress(FileExistsError):
        parent.remove(_dying(path))  # left by a killed removal
        os.mkdir(path.name, marked.PRIVATE, dir_fd=parent.descriptor)
    try:
        lock = presence.hold(path / container.LOCK, in_children=True)
    except HomeError:
        if not presence.is_held(path / container.LOCK):
            raise
        raise KeptDataError(path=str(path), problem="another instance makes the data", cure=IN_USE) from None
    if is_complete(path):
        raise KeptDataError(path=str(path), problem="another instance made the data meanwhile", cure="start again")
    directory = directories.enter(path, owners=[os.geteuid()])
    try:
        for name in os.listdir(directory):
            if name != container.LOCK:
                remove_entry(directory, name)
    finally:
        os.close(directory)
    return lock


def complete(path: Path, record: PersistentRecord, before: PersistentRecord | None = None) -> None:
    """Write all data to disk, then the record that makes it complete. Raises OSError, KeptDataError.

    `before`: the record that `record` follows. A set-up that a user accepted since then stays accepted.
    """
    with _writing(path) as directory:
        if not is_complete(path):
            from servicectx.system import linux

            linux.sync_file_system(directory)
        elif before is not None and not before.accepts_setup and (now := read(path)) is not None:
            record = record._replace(accepts_setup=now.accepts_setup)
        _write(directory, record)


def record_program(path: Path, program: str, program_state: str, version: str | None) -> None:
    """In a keeper that holds the data: record the program that is about to run on it.

    A new program may change the data before its first answer, and may be killed before that. `version`: None where the
    program has no known one; then that of the earlier program stays. Raises OSError, KeptDataError.
    """
    with _writing(path) as directory:
        record = read(path)
        if record is not None and (record.program, record.program_state) != (program, program_state):
            version = version or record.server_version
            _write(directory, record._replace(program=program, program_state=program_state, server_version=version))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[int]:
    """The open container, locked against other writers of its record, which only hold this lock for a moment."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(directory)


def _write(directory: int, record: PersistentRecord) -> None:
    keep_record.write_synced(directory, FILE, json.dumps({"version": VERSION, **record._asdict()}, indent=1) + "\n")
    os.fsync(directory)


def is_complete(path: Path) -> bool:
    """Whether `path` has a record of this user's."""
    try:
        status = os.lstat(path / FILE)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def read(path: Path) -> PersistentRecord | None:
    """The record of complete data, or None. Raises KeptDataError for a record that this version cannot read."""
    if not os.path.lexists(path / FILE):
        return None
    problem = "another version of servicectx or another program wrote it"
    try:
        marked.check_owner(path, os.lstat(path), "move it away")
        raw = reading.read_json(path / FILE, 1 << 20)
        if isinstance(raw, dict) and raw.pop("version", None) == VERSION:
            return PersistentRecord(**raw)
    except (reading.Unreadable, HomeError) as error:
        problem = str(error)
    except TypeError:
        pass
    cure = "use the version of servicectx that made the data, or restore the file"
    raise KeptDataError(path=str(path / FILE), problem=f"it cannot be read: {problem}", cure=cure)


def accept_setup(path: Path) -> None:
    """Record the next set-up as the one that made the data, without a run. Raises KeptDataError, OSError."""
    with _writing(path) as directory:
        if (record := read(path)) is not None:
            _write(directory, record._replace(accepts_setup=True))


def scan() -> Iterator[Found]:
    """All complete persistent data of this user, by path; data with an unreadable record is left out."""
    root = paths.persistent()
    for directory in _names(root):
        for name in _names(root / directory):
            path = root / directory / name
            with contextlib.suppress(KeptDataError):
                if (record := read(path)) is not None:
                    yield Found(path, record, is_in_use(path))


def is_in_use(path: Path) -> bool:
    """Whether an instance runs on the data, in any home or PID namespace."""
    return presence.is_held(path / container.LOCK) or keep_record.is_locked(path)


def remove(path: Path, own: bool = False) -> None:
    """Remove the data. `own`: the caller holds the lock. Raises KeptDataError where an instance runs on the data."""
    try:
        found = marked.existing(path.parent, marked.PERSISTENT)
    except HomeError:
        return
    if found is None:
        return
    with found:
        lock = None if own else presence.take(path / container.LOCK, 0.0)
        try:
            if not own and os.path.lexists(path / container.LOCK) and (lock is None or keep_record.is_locked(path)):
                raise KeptDataError(path=str(path), problem="an instance runs on the data", cure=IN_USE)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path / FILE)  # first: after a crash, a start must not take half of the data for all of it
            # Under another name: a start at the same time makes a directory of its own, and cannot lock a dying one.
            dying = _dying(path)
            found.remove(dying)  # left by a killed removal
            with contextlib.suppress(FileNotFoundError):
                os.rename(path.name, dying, src_dir_fd=found.descriptor, dst_dir_fd=found.descriptor)
            found.remove(dying)
        finally:
            if lock is not None:
                os.close(lock)


def _dying(path: Path) -> str:
    """The name of a container during its removal. No name of data begins with a dot."""
    return f".{path.name}.removed"


def new(service: str, name: str, scope: str, program: str, program_state: str) -> PersistentRecord:
    """The record of data that is about to be made."""
    return PersistentRecord(service, name, scope, program, program_state, None, {}, since=time.time())


def _names(directory: Path) -> list[str]:
    try:
        found = marked.existing(directory, marked.PERSISTENT)
    except HomeError:
        return []
    if found is None:
        return []
    with found:
        return sorted(name for name in found.names() if name != marked.MARKER)


def _entry(name: str) -> str:
    """The directory of a name: the name itself where that is a safe file name, else a part of it and its hash."""
    if len(name) <= LONGEST and PLAIN.fullmatch(name):
        return name
    digest = _digest(name)
    return f"{_readable(name) or 'service'}-{digest}"


def _readable(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", text.lower())[:LONGEST].lstrip("-_")


def _digest(text: str) -> str:
    import hashlib  # OpenSSL, which a keeper never needs

    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
