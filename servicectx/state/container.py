"""The container of one instance's data: a directory `KEY.ID` in a marked data root, with a record and a lock.

    KEY.ID/record.json     the home, key and id of the instance, the origin of the data, and whether it is kept
    KEY.ID/lock            held by the keeper while it lives: locked data is in use, in every PID namespace

Both are created before all other files, so that any later process can judge the data without its home.
"""

import contextlib
import fcntl
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from servicectx.errors import HomeError
from servicectx.state import marked, names, origin, paths, presence
from servicectx.state.origin import Origin
from servicectx.system import reading
from servicectx.system.checkpoints import step
from servicectx.system.originals import json, open

RECORD, LOCK = "record.json", "lock"
LOCK_TIME = 5.0  # seconds; another process may be removing the same data
TRIES = 20


class Record(NamedTuple):
    """The record of the data. `home_inode` distinguishes homes that have the same path in two containers."""

    home: str
    home_inode: str
    key: str
    id: str
    origin: Origin
    kept: bool = False


class Found(NamedTuple):
    """A container in a data root. `record`: None where the keeper was killed before it wrote one."""

    path: Path
    record: Record | None
    in_use: bool


def begin(path: Path, home: Path, passable: bool) -> None:
    """In a keeper: create the container, lock it while this process and its children live, and write its record.

    Raises OSError, HomeError.
    """
    mode = marked.PASSABLE if passable else marked.PRIVATE
    key, _, id = path.name.partition(".")
    for _ in range(TRIES):
        with marked.claim(path.parent, marked.DATA, mode) as root:
            fcntl.flock(root.descriptor, fcntl.LOCK_SH)  # `_retire` takes an exclusive lock
            if not os.fstat(root.descriptor).st_nlink:
                continue
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path.name, 0o700, dir_fd=root.descriptor)
                presence.hold(path / LOCK, in_children=True)
            except FileNotFoundError:
                continue  # a pruning process took it for the remains of a killed keeper
            _write(path, Record(str(home), inode(home), key, id, origin.here()))
            return
    raise HomeError(path=str(path), problem="it was removed repeatedly", cure="find the program that removes it")


def read(path: Path) -> Record | None:
    """The record of a container, or None without a readable one."""
    try:
        raw = reading.read_json(path / RECORD, 65536)
        home, home_inode, key, id = (str(raw[name]) for name in ("home", "home_inode", "key", "id"))
        if f"{key}.{id}" == path.name:
            return Record(home, home_inode, key, id, origin.decode(raw["origin"]), raw["kept"] is True)
    except (reading.Unreadable, ValueError, KeyError, TypeError):
        pass
    return None


def keep(path: Path) -> None:
    """Mark the data as kept: only `servicectx prune --kept-data` removes it."""
    record = read(path)
    if record is not None and not record.kept:
        with contextlib.suppress(OSError):
            _write(path, record._replace(kept=True))


def is_kept(path: Path) -> bool:
    record = read(path)
    return record is not None and record.kept


def remove(path: Path, own: bool = False, wait: float = LOCK_TIME) -> bool:
    """Remove the container and return whether it is gone. A locked one stays, unless `own`: the caller has the lock.

    Only a container in a marked data root is removed: a path in a record does not prove that it is ours.
    """
    if not names.is_instance(path.name):
        return False
    try:
        root = marked.existing(path.parent, marked.DATA)
    except HomeError:
        return False
    if root is None:
        return not os.path.lexists(path)
    lock = None
    with root:
        try:
            if not own and os.path.lexists(path / LOCK):
                lock = presence.take(path / LOCK, wait)
                if lock is None and os.path.lexists(path / LOCK):
                    return False
            step("removing-data")
            if lock is None and not own:
                with contextlib.suppress(OSError):
                    os.rmdir(path.name, dir_fd=root.descriptor)  # fails where its keeper is just creating it
            else:
                root.remove(path.name)
            step("removed-data")
        finally:
            if lock is not None:
                os.close(lock)
        _retire(root)
    return not os.path.lexists(path)


def scan(root: Path, exclude: Collection[str] = ()) -> list[Found]:
    """All containers in a data root, by name, without the names in `exclude`; none where it is missing or foreign."""
    try:
        directory = marked.existing(root, marked.DATA)
    except HomeError:
        return []
    if directory is None:
        return []
    with directory:
        listing = sorted(name for name in directory.names() if name not in exclude)
        found = [root / name for name in listing if names.is_instance(name)]
    return [Found(path, read(path), presence.is_held(path / LOCK)) for path in found if not path.is_symlink()]


def inode(home: Path) -> str:
    """The device and inode of a home, which identify it independently of its path."""
    try:
        status = os.stat(home)
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def _retire(root: marked.MarkedDirectory) -> None:
    """Remove an empty marked directory from the caller's storage directory, to leave that as it was."""
    if root.path.name != paths.IN_STORAGE and not root.path.name.endswith("-data"):
        return
    from servicectx.state import storage  # only needed for such directories

    if not storage.is_given(root.path):
        return
    with contextlib.suppress(OSError):
        fcntl.flock(root.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if root.names() == [marked.MARKER]:
            os.unlink(marked.MARKER, dir_fd=root.descriptor)
            os.rmdir(root.path)


def _write(path: Path, record: Record) -> None:
    temporary = path / f"{RECORD}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(record._asdict()))
    os.replace(temporary, path / RECORD)
