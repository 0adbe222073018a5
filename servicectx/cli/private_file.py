"""Files with passwords that a command writes: mode 0600, replaced at once."""

import os
import stat
from pathlib import Path

from servicectx.cli.app import Failed
from servicectx.system import files


def write(path: str, text: str) -> None:
    """Write the file with mode 0600, also where it had another mode. A symbolic link of this user is followed.

    Raises Failed for a path that cannot be written, that is not a regular file, or that another user could redirect.
    """
    target = _target(path)
    try:
        files.replace(target, files.beside(target), text)
    except OSError as error:
        raise Failed(f"--output {path}: {error.strerror}") from None


def _target(path: str) -> Path:
    """The file that `path` leads to. A link of another user could lead to any file of this one."""
    target = Path(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
    try:
        status = target.lstat()
    except OSError:
        return target
    if status.st_uid not in (os.geteuid(), 0):
        raise Failed(f"--output {path}: it belongs to another user (id {status.st_uid}); choose another file")
    return Path(os.path.realpath(target)) if stat.S_ISLNK(status.st_mode) else target


def readable_by_others(descriptor: int) -> int | None:
    """The mode of a regular file that other accounts can read; None for anything else."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    mode = stat.S_IMODE(status.st_mode)
    return mode if stat.S_ISREG(status.st_mode) and mode & 0o044 else None
