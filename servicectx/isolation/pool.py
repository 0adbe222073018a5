"""The pool of prefetched namespaces: one file for each namespace, below an instance's directory.

    pool/events                    a FIFO with the users' events for the prefetcher, one a line
    pool/making/<source>/<name>    in the making, as long as the lock on the file is held
    pool/ready/<source>/<name>     complete and unused
    pool/taken/<name>-<pid>        used, as long as the lock on the file is held; then it must be removed
    pool/kept/<name>               left in place for a user

Each file contains the source of its namespace. Only the holder of its lock may move a file. So no two users get the
same namespace, a checkout needs no connection, and the kernel frees the locks of dead users.
"""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from servicectx.errors import HomeError
from servicectx.state import leases
from servicectx.system.checkpoints import step
from servicectx.system.originals import time

MAX_BACKLOG = 16  # namespaces in use or returned; with more, the prefetcher has a backlog
BASE = "base"  # the default source
SERVED, MISSED, RETURNED = "+", "-", ""  # before a source: served or not; alone: a namespace was returned

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class CheckedOut(leases.Lease):
    """One user's namespace, until `release()` or the death of this process. A forked child has no part in it."""

    removes = False  # the file names the namespace that must be removed

    def __init__(self, path: Path, descriptor: int, name: str, source: str = "") -> None:
        super().__init__(path, descriptor)
        self.name = name
        self.source = source  # of this complete copy; "" where the copy may be incomplete

    def discard(self) -> None:
        """Remove the file, after the namespace was removed, and release the lock."""
        try:
            self.path.unlink(missing_ok=True)
        finally:
            self.release()


class Pool:
    """The pool below one directory: only files and locks, without any access to the namespaces themselves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "pool"
        self.events = self.directory / "events"
        self.making = self.directory / "making"
        self.ready = self.directory / "ready"
        self.taken = self.directory / "taken"
        self.kept = self.directory / "kept"

    def make(self) -> None:
        for folder in (self.directory, self.making, self.ready, self.taken, self.kept):
            folder.mkdir(mode=0o700)
        os.mkfifo(self.events, 0o600)

    # -- users -----------------------------------------------------------------------------------------------------

    def claim(self, source: str) -> CheckedOut | None:
        """Check out a ready namespace for this process; None when there is none."""
        folder = self.ready / source
        for name in _names(folder):
            try:
                descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                step("pool-claiming")
                path = self.taken / f"{name}-{os.getpid()}"
                os.rename(folder / name, path)
                step("pool-claimed")
            except (BlockingIOError, FileNotFoundError):  # another process has it, or had it
                os.close(descriptor)
                continue
            except BaseException:
                os.close(descriptor)
                raise
            return CheckedOut(path, descriptor, name, source)
        return None

    def take_returned(self, source: str) -> CheckedOut | None:
        """Take a returned namespace for recycling; None when there is none."""
        for taken in self._given_back():
            if taken.source == source:
                return taken
            taken.release()
        return None

    def wait(self, source: str, seconds: float) -> CheckedOut | None:
        """Check out as `claim`, but wait for a namespace in the making.

        Only one process waits at a time: the others create their own, which is faster in total.
        """
        until = time.monotonic() + seconds
        if not _names(self.making / source):
            return self.claim(source)
        try:
            queue = os.open(self.directory / "waiting", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
            while (taken := self.claim(source)) is None and time.monotonic() < until:
                if not _names(self.making / source) and not _names(self.ready / source):
                    break  # another process has it; a published file is locked for an instant
                time.sleep(0.002)  # a wait for the lock would not end if its holder were stopped
            return taken
        except BlockingIOError:
            return None
        finally:
            os.close(queue)

    def begin(self, name: str, source: str) -> CheckedOut | None:
        """Claim a name before this process creates the namespace. None: the instance is gone. Raises HomeError."""
        path = self.taken / f"{name}-{os.getpid()}"
        try:
            return CheckedOut(path, _written(path, source), name, source)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            cure = "free some space, or set SERVICECTX_HOME to a directory that has some"
            raise HomeError(path=str(path), problem=f"namespace not claimed: {error.strerror}", cure=cure) from None

    def keep(self, taken: CheckedOut) -> None:
        """Leave the namespace in place after its user's exit."""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.rename(taken.path, self.kept / taken.name)
        finally:
            taken.release()

    def send_event(self, event: str) -> bool:
        """Write an event to the FIFO, without waiting. False: neither a keeper nor a prefetcher reads it."""
        try:
            descriptor = os.open(self.events, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # the pool is gone, or the FIFO has no reader
            return False
        try:
            os.write(descriptor, f"{event}\n".encode())
        except BlockingIOError:
            pass  # the FIFO is full of unread events, so the prefetcher will wake up
        except BrokenPipeError:
            return False
        finally:
            os.close(descriptor)
        return True

    def is_piling_up(self) -> bool:
        return len(self.taken_names()) > MAX_BACKLOG

    def is_empty(self) -> bool:
        """Whether no namespace is ready, in the making, in use or returned."""
        folders = [folder / name for folder in (self.making, self.ready) for name in _names(folder)]
        return not self.taken_names() and not any(map(_names, folders))

    # -- the prefetcher ----------------------------------------------------------------------------------------------

    def open_events(self) -> int:
        """Read end of the event FIFO. Also opened for writing, so that reads never return EOF."""
        return os.open(self.events, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)

    def sources(self) -> list[str]:
        return _names(self.ready)

    def count(self, source: str) -> int:
        return len(_names(self.ready / source))

    def begin_ahead(self, name: str, source: str) -> CheckedOut:
        """Claim a name for a namespace to prefetch. Raises OSError when the instance is gone."""
        folder = self.making / source
        folder.mkdir(mode=0o700, exist_ok=True)
        return CheckedOut(folder / name, _written(folder / name, source), name, source)

    def publish(self, taken: CheckedOut, source: str) -> None:
        """Make a complete namespace ready for users."""
        folder = self.ready / source
        folder.mkdir(mode=0o700, exist_ok=True)
        os.rename(taken.path, folder / taken.name)
        taken.release()

    def taken_names(self) -> list[str]:
        return _names(self.taken, suffix=True)

    def users(self) -> set[int]:
        """The processes that checked out a namespace and did not return it, living or dead."""
        return {int(name.rpartition("-")[2]) for name in self.taken_names()}

    def returned(self) -> Iterator[CheckedOut]:
        """Take the namespaces without a user, one by one. This process holds each until `discard` or `release`."""
        begun = [self.making / source / name for source in _names(self.making) for name in _names(self.making / source)]
        for path in begun:
            if (descriptor := _locked(path)) is not None:
                yield CheckedOut(path, descriptor, path.name)
        yield from self._given_back()

    def _given_back(self) -> Iterator[CheckedOut]:
        for name in _names(self.taken, suffix=True):
            if (descriptor := _locked(self.taken / name)) is not None:
                source = os.read(descriptor, 100).decode(errors="replace")
                source = source if _NAME.fullmatch(source) else ""
                yield CheckedOut(self.taken / name, descriptor, name.partition("-")[0], source)


def _written(path: Path, source: str) -> int:
    """Create a file with its source, locked, and return its descriptor."""
    descriptor = leases.open_locked(path)
    with contextlib.suppress(OSError):  # on a full disk: without a source the namespace is never recycled
        os.write(descriptor, source.encode())
    return descriptor


def _locked(path: Path) -> int | None:
    """Lock the file and return its descriptor; None where another process holds it, or has removed it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in leases.NO_LEASE:
            return None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        if status.st_nlink and stat.S_ISREG(status.st_mode):
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def source_of(line: str) -> tuple[str, str]:
    """Parse a line of the FIFO into (kind, source). An invalid line is (RETURNED, "")."""
    kind, source = line[:1], line[1:]
    return (kind, source) if kind in (SERVED, MISSED) and _NAME.fullmatch(source) else (RETURNED, "")


def _names(folder: Path, suffix: bool = False) -> list[str]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    if suffix:
        return [name for name in names if re.fullmatch(rf"{_NAME.pattern}-\d+", name)]
    return names
