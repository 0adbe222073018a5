"""Marked directories: made by this library, with a marker file that is written first.

Only entries of a marked directory are ever listed for removal, renamed or locked. A user's directory that is named as
the home, the cache or the storage gets one marked subdirectory; all its other entries are left alone.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path
from types import TracebackType

from servicectx.errors import HomeError
from servicectx.system import reading

MARKER = "SERVICECTX.TAG"
FORMAT = 1  # of the files beside the marker; other formats are refused
HOME, CACHE, DATA, PROGRAMS, PERSISTENT = "home", "cache", "data", "programs", "persistent"
PRIVATE = 0o700
PASSABLE = 0o711  # for root's data: the server's account can reach its directory, and list nothing

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SIGNATURE = "Signature: servicectx directory\n"
_CURES = {
    HOME: "set SERVICECTX_HOME to a directory of your own that only you can write",
    CACHE: "set SERVICECTX_CACHE to a directory of your own that only you can write",
    DATA: "set SERVICECTX_HOME, or storage=, to another directory that only you can write",
    PROGRAMS: "set SERVICECTX_CACHE to a directory of your own that only you can write",
    PERSISTENT: "set SERVICECTX_DATA to a directory of your own that only you can write",
}


class MarkedDirectory:
    """An open marked directory: owner, mode and marker were verified on this descriptor."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def __enter__(self) -> "MarkedDirectory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self.descriptor)

    def names(self) -> list[str]:
        return os.listdir(self.descriptor)

    def remove(self, name: str) -> None:
        """Remove the entry `name` of any kind, with its contents. A missing entry is not an error."""
        from servicectx.system.removal import remove_entry  # imported only for a removal

        remove_entry(self.descriptor, name)


def make(path: Path, kind: str, mode: int = PRIVATE) -> Path:
    """Create or verify the marked directory `path`, and return `path`. Its parent must exist.

    An empty directory of this user's gets the marker: a process killed before it wrote the marker left it.
    With the mode PASSABLE, other accounts can pass it afterwards. Raises HomeError.
    """
    with claim(path, kind, mode):
        return path


def claim(path: Path, kind: str, mode: int = PRIVATE) -> MarkedDirectory:
    """As `make`, but return the open directory."""
    try:
        descriptor = _opened(path, kind)  # first, because it nearly always exists
    except FileNotFoundError:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, mode)
            descriptor = _opened(path, kind)
        except OSError as error:
            problem = f"it cannot be made: {error.strerror or error}"
            cure = f"free some space, or {_CURES[kind]}" if error.errno in _FULL else _CURES[kind]
            raise HomeError(path=str(path), problem=problem, cure=cure) from None
    try:
        if not _is_marked(path, kind, descriptor):
            _mark(path, kind, descriptor)
        if mode == PASSABLE and not os.fstat(descriptor).st_mode & stat.S_IXOTH:
            os.fchmod(descriptor, PASSABLE)
    except BaseException:
        os.close(descriptor)
        raise
    return MarkedDirectory(path, descriptor)


def existing(path: Path, kind: str) -> MarkedDirectory | None:
    """The open marked directory at `path`; None where it is missing, or has no marker yet.

    Raises HomeError for an entry that is not this user's own marked directory.
    """
    try:
        descriptor = _opened(path, kind)
    except FileNotFoundError:
        return None
    try:
        if _is_marked(path, kind, descriptor):
            return MarkedDirectory(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def is_marked(path: Path, kind: str) -> bool:
    """Whether `path` is a marked directory of that kind, and this user's own."""
    try:
        found = existing(path, kind)
    except HomeError:
        return False
    if found is None:
        return False
    with found:
        return True


def check_owner(path: Path, status: os.stat_result, cure: str) -> None:
    """Raise HomeError unless `status` is of a directory of this user's that no other account can write."""
    if not stat.S_ISDIR(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a directory"
        raise HomeError(path=str(path), problem=f"it is {kind}, and secrets would go through it", cure=cure)
    if status.st_uid != os.geteuid():
        raise HomeError(path=str(path), problem=f"it belongs to user id {status.st_uid}, not to you", cure=cure)
    if status.st_mode & 0o022:
        problem = f"others can write to it (mode {stat.S_IMODE(status.st_mode):04o})"
        raise HomeError(path=str(path), problem=problem, cure=f"chmod go-w {path}, or: {cure}")


def _opened(path: Path, kind: str) -> int:
    """A descriptor of the directory itself, never of the target of a link. Raises FileNotFoundError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        try:
            status = os.lstat(path)
        except OSError:
            raise FileNotFoundError(path) from None  # such as a path below a file
        check_owner(path, status, _CURES[kind])  # raises the more precise error, if it applies
        raise HomeError(path=str(path), problem=f"it cannot be read: {error.strerror}", cure=_CURES[kind]) from None
    try:
        check_owner(path, os.fstat(descriptor), _CURES[kind])
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_marked(path: Path, kind: str, descriptor: int) -> bool:
    """Whether the marker is complete. False for an empty directory; raises HomeError for a foreign one."""
    text = _marker(path, kind, descriptor)
    if text is None:
        listing = os.listdir(descriptor)
        text = _marker(path, kind, descriptor)  # another process may have finished it between the two reads
        if text is None:
            if not listing:
                return False
            problem = f"it has files in it and no {MARKER}, so servicectx did not make it and leaves it alone"
            raise HomeError(path=str(path), problem=problem, cure=f"move it away, or: {_CURES[kind]}")
    expected = marker_text(kind)
    if text == expected:
        return True
    if expected.startswith(text):
        return False
    problem = f"its {MARKER} is not one of servicectx"
    if text.startswith(_SIGNATURE):
        problem = f"another version of servicectx made it, or made it for another purpose ({_shown(text)})"
    raise HomeError(path=str(path), problem=problem, cure=f"move it away, or: {_CURES[kind]}")


def _marker(path: Path, kind: str, descriptor: int) -> str | None:
    try:
        return reading.read_text(MARKER, 4096, descriptor)
    except reading.Unreadable as error:
        raise HomeError(path=str(path / MARKER), problem=str(error), cure=_CURES[kind]) from None


def _mark(path: Path, kind: str, descriptor: int) -> None:
    """Write the marker. Every process writes the same bytes at the same offset, so no lock is needed."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        marker = os.open(MARKER, flags, 0o600, dir_fd=descriptor)
        try:
            os.pwrite(marker, marker_text(kind).encode(), 0)
        finally:
            os.close(marker)
    except OSError as error:
        cure = f"free some space, or {_CURES[kind]}"
        raise HomeError(path=str(path), problem=f"no marker was written: {error.strerror}", cure=cure) from None


def marker_text(kind: str) -> str:
    """The content of the marker of a directory of that kind."""
    return f"{_SIGNATURE}Kind: {kind}\nFormat: {FORMAT}\n"


def _shown(text: str) -> str:
    return ", ".join(line.strip().lower() for line in text.splitlines()[1:3])[:80]
