"""What a process needs before any service can run: checked before a start or a join, in microseconds."""

import errno
import fcntl
import os
import resource
import sys

from servicectx.errors import ConfigError, HomeError, ServiceCtxError, StartFailed
from servicectx.request import key
from servicectx.services.plan import HOST
from servicectx.system import faults, platform, processes
from servicectx.system.originals import open, socket

LOOPBACK_IS_DOWN = (
    f"nothing can connect to {HOST}, because the loopback interface is down ({{problem}})\n"
    "bring it up with: ip link set lo up"
)
NO_PROC = "processes cannot be looked up, because /proc is not mounted here\nmount it with: mount -t proc proc /proc"


_GET_FLAGS, _UP = 0x8913, 1  # SIOCGIFFLAGS and IFF_UP of Linux

# What root needs to start, watch and clear up after a server of another account: capability and bit.
NEEDED = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}


def check_processes(service: str, name: str) -> None:
    """Raise StartFailed, with the cure, where no process can be looked up."""
    if platform.LINUX and processes.own_identity() is None:
        raise StartFailed(service=service, name=name, reason=NO_PROC)


def check_loopback(service: str, name: str) -> None:
    """Raise StartFailed, with the cure, where nothing can connect.

    Called before a start, and by a join after a failed ping.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((HOST, 9))  # sends nothing, and fails at once where there is no way
            if _is_down(probe.fileno()):
                raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    except OSError as error:
        if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH):
            reason = LOOPBACK_IS_DOWN.format(problem=error.strerror)
            raise StartFailed(service=service, name=name, reason=reason) from None


def _is_down(descriptor: int) -> bool:
    """Whether the loopback interface is down (Linux). The kernel keeps the route of an interface that was up before."""
    if not platform.LINUX:
        return False
    try:
        flags = fcntl.ioctl(descriptor, _GET_FLAGS, b"lo".ljust(40, b"\0"))[16:18]
    except OSError:  # the interface has another name
        return False
    return not int.from_bytes(flags, sys.byteorder) & _UP


def check_account(account: str, service: str, name: str) -> None:
    """Raise StartFailed, with the cure, where root may not act for the account that a server runs as."""
    missing = [each for each, bit in NEEDED.items() if not capabilities() >> bit & 1]
    if missing:
        reason = (
            f"it refuses to run as root, and to run it as {account} this process lacks {', '.join(missing)}\n"
            "run as an ordinary user, or give them: docker run --cap-add=CHOWN,DAC_OVERRIDE,KILL,SETGID,SETUID"
        )
        raise StartFailed(service=service, name=name, reason=reason)


def capabilities() -> int:
    """This process's effective capabilities as bits; all of them where the system does not tell."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    except (OSError, StopIteration, ValueError):
        return -1


def explained(error: OSError | HomeError, service: str, name: str) -> ServiceCtxError | None:
    """An error of ours, with the cure, for what the system refused to this process; None for anything else.

    A HomeError that was made of a lack of descriptors says nothing about the home.
    """
    if isinstance(error, HomeError):
        cause = error.__cause__ or error.__context__
        lacks = isinstance(cause, Exception) and faults.errno_of(cause) in (errno.EMFILE, errno.ENFILE)
        if not lacks:
            return None
        error = OSError(faults.errno_of(cause), os.strerror(faults.errno_of(cause) or 0))
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
    if error.errno == errno.ENOENT and not key.working_directory():
        return ConfigError(path="the working directory", problem=key.REMOVED)
    return None
