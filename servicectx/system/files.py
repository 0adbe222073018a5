"""Files that a user named: bounded, non-blocking reading of any kind of entry, and atomic writing."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from servicectx.system.checkpoints import step
from servicectx.system.originals import open

LIMIT = 2**20  # bytes of a details file or a configuration file


class Unreadable(Exception):
    """The reason why a file was not read. The text contains no content of the file."""


def read(path: str | os.PathLike[str], limit: int = LIMIT, follow: bool = True) -> bytes:
    """The bytes of a regular file of at most `limit` bytes. A link to one is followed, unless `follow` is false.

    Raises Unreadable for anything else: a directory, a FIFO, a device, a larger file, a path that cannot be opened.
    """
    try:
        # These flags open a FIFO without a writer at once, and do not make a terminal the controlling one.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        descriptor = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise Unreadable("there is no such file") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return _read(descriptor, limit)
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def beside(target: Path) -> Path:
    """A new name in the directory of `target`, for a file that `replace` writes first."""
    return target.with_name(f".{target.name}.{os.urandom(4).hex()}")


def check_replaceable(target: Path) -> None:
    """Raise OSError where something other than a file is, or a link to such: a rename would destroy a device."""
    for status in (os.lstat, os.stat):
        with contextlib.suppress(FileNotFoundError):
            mode = status(target).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                kind = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
                raise OSError(kind, "it exists and is not a regular file; name another file", str(target))


def replace(target: Path, temporary: Path, text: str) -> None:
    """Write a private file atomically, in place of an existing one, through the new `temporary`. Raises OSError."""
    check_replaceable(target)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        step("replacing")
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _read(descriptor: int, limit: int) -> bytes:
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise Unreadable("it is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("it is not a regular file, but a device, a FIFO or a socket")
    chunks, size = [], 0
    while chunk := os.read(descriptor, limit + 1 - size):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise Unreadable(f"it is larger than {limit >> 20} MiB")
    return b"".join(chunks)
