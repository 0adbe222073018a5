"""What a process needs before any service can run: checked before a start or a join, in microseconds."""

import errno
import os
import resource
import socket
import sys

from servicectx._running import pids
from servicectx._running.plan import HOST
from servicectx.errors import HomeError, ServiceCtxError, StartFailed

LOOPBACK_IS_DOWN = (
    f"nothing can connect to {HOST}, because the loopback interface is down ({{problem}})\n"
    "bring it up with: ip link set lo up"
)
NO_PROC = "processes cannot be looked up, because /proc is not mounted here\nmount it with: mount -t proc proc /proc"


def check(service: str, name: str) -> None:
    """Raise StartFailed, with the cure, where no service can run here."""
    if sys.platform == "linux" and pids.identity(os.getpid()) is None:
        raise StartFailed(service=service, name=name, reason=NO_PROC)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((HOST, 9))  # sends nothing, and fails at once where there is no way
    except OSError as error:
        if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH):
            reason = LOOPBACK_IS_DOWN.format(problem=error.strerror)
            raise StartFailed(service=service, name=name, reason=reason) from None


def explained(error: OSError, service: str, name: str) -> ServiceCtxError | None:
    """An error of ours, with the cure, for what the system refused to this process; None for anything else."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        reason = f"no more files can be opened ({error.strerror}); this process may have {limit} open at once"
        return StartFailed(service=service, name=name, reason=f"{reason}\nallow more with: ulimit -n 1024")
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        reason = f"no more processes can be started ({error.strerror})"
        return StartFailed(service=service, name=name, reason=f"{reason}\nallow more with: ulimit -u, or --pids-limit")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
        cure = "set SERVICECTX_HOME to a directory that this user can write and that has some space"
        return HomeError(path=str(error.filename or "a file"), problem=f"{error.strerror}", cure=cure)
    return None
