"""Faults of the machine by errno: which ones are temporary, and the cure of each."""

import errno
import os

from servicectx.errors import HomeError

#: A resource of the process or the machine is short. The same call succeeds once the shortage is over.
SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOLCK, errno.EINTR})

#: The file system accepts no more data.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

FAULT_TIME = 1.0  # seconds; a full file system seldom recovers by itself

_SPACE = "free some space, or set SERVICECTX_HOME to a directory that can be written and has some"
_CURES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EROFS: "set SERVICECTX_HOME to a directory on a file system that can be written",
    errno.EMFILE: "close some files, or raise this process's limit of open files: ulimit -n 4096",
    errno.ENFILE: "end some programs, or raise the machine's limit of open files: sysctl fs.file-max",
    errno.EAGAIN: "end some processes, or raise their limit: ulimit -u, docker run --pids-limit",
    errno.ENOMEM: "free some memory",
}


def errno_of(error: BaseException | None) -> int | None:
    """The errno of `error`, or of the OSError that caused a HomeError."""
    while error is not None:
        if isinstance(error, OSError):
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def is_shortage(error: BaseException) -> bool:
    """Whether the same call can succeed a moment later, without a change on disk."""
    return errno_of(error) in SHORTAGES


def patience(error: BaseException, shortage: float) -> float:
    """Seconds for which a repeated call may still succeed: `shortage` for a shortage of resources."""
    number = errno_of(error)
    if number in SHORTAGES:
        return shortage
    return 0.0 if number == errno.EROFS else FAULT_TIME


def home_error(error: OSError, action: str, path: str = "") -> HomeError | None:
    """`error` as a HomeError with its cure, or None for other faults. `action` names the failed operation."""
    cure = _CURES.get(error.errno or 0)
    if cure is None:
        return None
    location = path or str(error.filename or "")
    problem = f"{action}: {error.strerror}"
    if error.errno == errno.ENOSPC and location and _lacks_inodes(location):
        problem += " (its file system has no inode left)"
    return HomeError(path=location, problem=problem, cure=cure)


def _lacks_inodes(path: str) -> bool:
    while True:
        try:
            status = os.statvfs(path)
            return status.f_files > 0 and status.f_favail == 0
        except FileNotFoundError:
            if path == (path := os.path.dirname(path)):
                return False
        except OSError:
            return False
