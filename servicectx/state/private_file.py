"""Private files that are written atomically."""

import contextlib
import os
from pathlib import Path

from servicectx.errors import HomeError
from servicectx.system import faults
from servicectx.system.originals import open

NO_SPACE_CURE = "free some space, or set SERVICECTX_HOME to a directory that can be written and has some"


def write_private(path: Path, text: str) -> None:
    """Write a private file atomically, in place of any entry of that name."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        try:
            _write_new(temporary, text)
        except FileExistsError:  # from a killed writer, or a foreign entry
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
            path=str(path), problem=f"not written: {error.strerror}", cure=NO_SPACE_CURE
        ) from None


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _remove_beside(path: Path) -> None:
    """Remove an entry at the path of one of our files that is not a regular file."""
    from servicectx.system.removal import remove_entry

    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_entry(folder, path.name)
    finally:
        os.close(folder)
