"""Namespaces that were made ahead of demand: a file for each, below an instance's directory.

    pool/asked                     a FIFO: what users tell the helper, a line each
    pool/making/<source>/<name>    on its way, as long as the lock on it is held
    pool/ready/<source>/<name>     complete, and nobody's
    pool/taken/<name>-<pid>        somebody's for as long as the lock on it is held; then it is to be removed
    pool/kept/<name>               left in place on somebody's wish

Each file says what it is a copy of. Who has the lock on a file may move it. So no two can have one namespace, asking
costs no connection, and what the dead had is known by locks that the kernel has freed.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from servicectx.errors import HomeError
from servicectx.state import leases
from servicectx.system.checkpoints import step
from servicectx.system.originals import time

MAX_BACKLOG = 16  # namespaces in use or given back; with more, whoever removes them is behind
BASE = "base"  # the source of whoever names none
SERVED, MISSED, RETURNED = "+", "-", ""  # before a source: it was served, it was not; alone: one was given back

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class CheckedOut(leases.Lease):
    """One user's namespace, until `release()` or the death of this process. A forked child neither has nor gives it."""

    removes = False  # the file says what is to be removed

    def __init__(self, path: Path, descriptor: int, name: str, source: str = "") -> None:
        super().__init__(path, descriptor)
        self.name = name
        self.source = source  # what it is a complete copy of; "" where that is not sure

    def forget(self) -> None:
        """Nothing of it is there any more."""
        try:
            self.path.unlink(missing_ok=True)
        finally:
            self.release()


class Pool:
    """The pool below one directory. It knows files and locks, nothing of what the names stand for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "pool"
        self.asked = self.directory / "asked"
        self.making = self.directory / "making"
        self.ready = self.directory / "ready"
        self.taken = self.directory / "taken"
        self.kept = self.directory / "kept"

    def make(self) -> None:
        for folder in (self.directory, self.making, self.ready, self.taken, self.kept):
            folder.mkdir(mode=0o700)
        os.mkfifo(self.asked, 0o600)

    # -- users -----------------------------------------------------------------------------------------------------

    def claim(self, source: str) -> CheckedOut | None:
        """One that is ready, now this process's own; None when there is none."""
        folder = self.ready / source
        for name in _names(folder):
            try:
                descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                step("pool-claiming")
                path = self.taken / f"{name}-{os.getpid()}"
                os.rename(folder / name, path)
                step("pool-claimed")
            except (BlockingIOError, FileNotFoundError):  # another one has it, or had it
                os.close(descriptor)
                continue
            except BaseException:
                os.close(descriptor)
                raise
            return CheckedOut(path, descriptor, name, source)
        return None

    def reclaim(self, source: str) -> CheckedOut | None:
        """One that was given back, now this process's, to make another one of; None when there is none."""
        for taken in self._given_back():
            if taken.source == source:
                return taken
            taken.release()
        return None

    def wait(self, source: str, seconds: float) -> CheckedOut | None:
        """As `claim`, but wait for one that is on its way.

        Only one process waits at a time: the others make their own meanwhile, and together they are faster.
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
                    break  # somebody else has it; what is published is locked for an instant
                time.sleep(0.002)  # waiting for the lock on it would have no end if its maker were stopped
            return taken
        except BlockingIOError:
            return None
        finally:
            os.close(queue)

    def begin(self, name: str, source: str) -> CheckedOut | None:
        """Claim a name before this process makes what it stands for. None: the instance is gone. Raises HomeError."""
        path = self.taken / f"{name}-{os.getpid()}"
        try:
            return CheckedOut(path, _written(path, source), name, source)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            cure = "free some space, or set SERVICECTX_HOME to a directory that has some"
            raise HomeError(path=str(path), problem=f"no claim: {error.strerror}", cure=cure) from None

    def keep(self, taken: CheckedOut) -> None:
        """Leave it in place when its user goes."""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.rename(taken.path, self.kept / taken.name)
        finally:
            taken.release()

    def tell(self, what: str) -> bool:
        """Whether a keeper or its helper is going to hear it. It never waits."""
        try:
            descriptor = os.open(self.asked, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # no such pool any more, or nobody reads
            return False
        try:
            os.write(descriptor, f"{what}\n".encode())
        except BlockingIOError:
            pass  # so much was said already that there is going to be a look
        except BrokenPipeError:
            return False
        finally:
            os.close(descriptor)
        return True

    def is_piling_up(self) -> bool:
        return len(self.taken_names()) > MAX_BACKLOG

    def is_empty(self) -> bool:
        """Whether nothing is ready, on its way, in use or given back."""
        folders = [folder / name for folder in (self.making, self.ready) for name in _names(folder)]
        return not self.taken_names() and not any(map(_names, folders))

    # -- the helper --------------------------------------------------------------------------------------------------

    def hear(self) -> int:
        """A descriptor of what is told. It is open for writing, too, so that it never says that nobody is there."""
        return os.open(self.asked, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)

    def sources(self) -> list[str]:
        return _names(self.ready)

    def count(self, source: str) -> int:
        return len(_names(self.ready / source))

    def begin_ahead(self, name: str, source: str) -> CheckedOut:
        """Claim a name for one that is going to be ready. Raises OSError when the instance is gone."""
        folder = self.making / source
        folder.mkdir(mode=0o700, exist_ok=True)
        return CheckedOut(folder / name, _written(folder / name, source), name, source)

    def publish(self, taken: CheckedOut, source: str) -> None:
        """Let others have it."""
        folder = self.ready / source
        folder.mkdir(mode=0o700, exist_ok=True)
        os.rename(taken.path, folder / taken.name)
        taken.release()

    def taken_names(self) -> list[str]:
        return _names(self.taken, suffix=True)

    def users(self) -> set[int]:
        """The processes that took one and did not give it back, living or dead."""
        return {int(name.rpartition("-")[2]) for name in self.taken_names()}

    def returned(self) -> Iterator[CheckedOut]:
        """What nobody holds any more, one after the other, each held by this process until it is forgotten."""
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
    """A descriptor of the new file, locked."""
    descriptor = leases.open_locked(path)
    with contextlib.suppress(OSError):  # on a full disk: then it is removed, and made from nothing
        os.write(descriptor, source.encode())
    return descriptor


def _locked(path: Path) -> int | None:
    """A descriptor of the file, now locked; None where somebody holds it, or has forgotten it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def source_of(line: str) -> tuple[str, str]:
    """What a line of the FIFO says, as (kind, source); no source where it makes no sense."""
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
