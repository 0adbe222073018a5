"""Directories of a run. The accounts of its contenders can enter them, and no other account can change their parents.

The temporary directory may belong to another account. Programs refuse private directories below such a directory.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.account import Account
from servicectx.state import storage

MEMORY = Path("/dev/shm")
CHECKOUT = Path(__file__).parents[1]


def memory(accounts: Iterable[Account]) -> Path:
    """A directory on a file system in memory, or on disk where there is none."""
    return MEMORY if storage.is_memory(MEMORY) and problem(MEMORY, accounts) is None else disk(accounts)


def disk(accounts: Iterable[Account]) -> Path:
    """A directory on disk. Raises SystemExit with the reasons against each candidate."""
    accounts, reasons = tuple(accounts), []
    for path in _candidates():
        reason = "it is in memory" if storage.is_memory(path) else problem(path, accounts)
        if reason is None:
            return path
        reasons.append(f"  {path}: {reason}")
    raise SystemExit("no directory on disk is usable for a benchmark; set TMPDIR to one\n" + "\n".join(reasons))


def problem(path: Path, accounts: Iterable[Account], private: bool = True) -> str | None:
    """The reason why a run of these accounts cannot have its directories in `path`.

    Without `private` they only enter and read there.
    """
    if not os.access(path, os.W_OK | os.X_OK):
        return "this account cannot write there"
    for place in (path.resolve(), *path.resolve().parents):
        status = place.stat()
        sticky = status.st_mode & stat.S_ISVTX
        for user in accounts:
            if private and status.st_uid not in (0, user.user):
                return f"{place} belongs to user id {status.st_uid}"
            if not status.st_mode & stat.S_IXOTH and status.st_uid != user.user:
                return f"user id {user.user} cannot enter {place}"
        if private and status.st_mode & (stat.S_IWOTH | stat.S_IWGRP) and not sticky:
            return f"others can write to {place}"
    return None


@contextlib.contextmanager
def directory(in_memory: bool, accounts: set[Account]) -> Iterator[Path]:
    """A new directory that these accounts can enter, removed at the end."""
    base = Path(tempfile.mkdtemp(prefix="bench-", dir=memory(accounts) if in_memory else disk(accounts)))
    try:
        base.chmod(0o711)
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _candidates() -> Iterator[Path]:
    found = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/tmp"), CHECKOUT / ".venv", Path.home()]
    yield from (path for path in dict.fromkeys(found) if path.is_dir())
