"""Bounded reading of this library's own small files, for any kind of entry at their path."""

import errno
import os
import stat
from typing import Any, BinaryIO

from servicectx.system.originals import json, open

LIMIT = 4 * 2**20  # bytes; details with certificates take some thousands


_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Unreadable(Exception):
    """The entry at the path is not a readable file of this kind. The text is the reason."""


def read(path: str | os.PathLike[str], limit: int = LIMIT, folder: int | None = None) -> bytes | None:
    """The bytes of a small regular file of this user's; None for a missing file.

    It never follows a link, never blocks on a FIFO, and never reads more than `limit` bytes. `folder` is the
    descriptor of the directory that `path` is relative to. Raises Unreadable.
    """
    try:
        descriptor = os.open(path, _FLAGS, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None
    try:
        return _content(descriptor, limit)
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def read_text(path: str | os.PathLike[str], limit: int = LIMIT, folder: int | None = None) -> str | None:
    """The content of `read` as text. Bytes that are not UTF-8 are replaced, so no UnicodeDecodeError is raised."""
    content = read(path, limit, folder)
    return None if content is None else content.decode("utf-8", errors="replace")


def read_json(path: str | os.PathLike[str], limit: int = LIMIT, folder: int | None = None) -> Any:
    """The JSON in the file of `read`. Raises Unreadable, also for a missing file, which `read` reports as None."""
    text = read_text(path, limit, folder)
    if text is None:
        raise Unreadable("there is no such file")
    try:
        return parse_json(text)
    except ValueError as error:
        raise Unreadable(f"it is not JSON: {error}") from None


def parse_json(text: str | bytes) -> Any:
    """The value in `text`, which another program may have written. Raises ValueError, also for deep nesting."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_bounded(number: Any) -> bool:
    """Whether a number of JSON is finite and below 2**63, so that times can be computed with it."""
    return isinstance(number, int | float) and abs(number) < 2**63  # false for NaN


def open_log(path: str | os.PathLike[str], start: int = 0) -> BinaryIO:
    """Open a regular file of this user for reading from `start`, in bytes. A negative `start` counts from the end.

    Raises OSError for any other entry, and FileNotFoundError for a missing one.
    """
    descriptor = os.open(path, _FLAGS)
    file = open(descriptor, "rb")
    try:
        size = _checked(descriptor).st_size
        file.seek(start if start >= 0 else max(0, size + start))
    except Unreadable as error:
        file.close()
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    return file


def tail(path: str | os.PathLike[str], size: int) -> bytes:
    """The last `size` bytes of a log, or all of a shorter one. Raises OSError as `open_log`."""
    with open_log(path, -size) as file:
        return file.read(size)


def _checked(descriptor: int) -> os.stat_result:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("it is not a regular file")
    if status.st_uid != os.geteuid():
        raise Unreadable(f"it belongs to user id {status.st_uid}")
    return status


def _content(descriptor: int, limit: int) -> bytes:
    status = _checked(descriptor)
    if status.st_size > limit:
        raise Unreadable(f"it has {status.st_size} bytes, and such a file has no more than {limit}")
    content = os.read(descriptor, status.st_size + 1)
    while len(content) > status.st_size and len(content) <= limit:  # the file grew meanwhile
        if not (chunk := os.read(descriptor, limit + 1 - len(content))):
            break
        content += chunk
    if len(content) > limit:
        raise Unreadable(f"it grows beyond {limit} bytes")
    return content
