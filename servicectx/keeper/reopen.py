"""Kept data for a new instance: its locks, and the runtime files of the previous server."""

import os
import stat
from pathlib import Path

from servicectx.errors import HomeError, KeptDataError
from servicectx.state import container, keep_record, presence
from servicectx.system.removal import remove_entry


def lock(directory: Path) -> int:
    """Lock kept data for the life of this process, and return a descriptor with which children hold the lock, too.

    The record's lock is taken first, since it names its holder. A keeper that has just kept the data holds the
    container's lock until it ends. Raises KeptDataError when another instance runs on the data, and HomeError.
    """
    descriptor = keep_record.lock(directory)
    lock = directory / container.LOCK
    try:
        presence.hold(lock, in_children=True)  # `prune` leaves locked data alone
    except FileNotFoundError as error:
        raise gone(directory, error) from None
    except HomeError:
        if not presence.is_held(lock):
            raise
        cure = "wait until the instance that wrote them has ended (`servicectx status` lists it)"
        raise KeptDataError(path=str(directory), problem="the data is in use", cure=cure) from None
    return descriptor


def gone(directory: Path, error: OSError) -> KeptDataError:
    """The error for kept data that is missing or was replaced."""
    problem = f"the kept data in it is missing or was replaced: {error.strerror or error}"
    cure = "if files were moved, move all of the directory"
    return KeptDataError(path=str(directory), problem=problem, cure=cure)


def remove_runtime_files(run: int) -> None:
    """Remove the files of a killed server from the open directory `run`: sockets, and copies of programs."""
    with os.scandir(run) as entries:
        names = [entry.name for entry in entries if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)]
    for name in [*names, "programs"]:
        remove_entry(run, name)
