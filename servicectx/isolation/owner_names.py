"""Names of namespaces that contain their owner and time, so that namespaces of dead owners can be found and removed."""

import contextlib
import functools
import hashlib
import os
import re
from pathlib import Path

from servicectx.system import platform, processes
from servicectx.system.originals import socket

PREFIX = "sc"

_SIGNATURE = re.compile(PREFIX + r"_(\w+?)_(\d+)_([0-9a-f]{8})[0-9a-f]{10}")


def new_name(made: int = 0) -> str:
    """Make a name that contains this process: `sc_<host>_<pid>_<random>`, at most 63 letters.

    The last part begins with 8 hexadecimal digits of the time, in seconds since 1970 by the clock of the server, or 0
    where the time is unknown. 10 random digits follow.
    """
    return f"{PREFIX}_{host()}_{os.getpid()}_{made & 0xFFFFFFFF:08x}{os.urandom(5).hex()}"


def signature(text: str) -> str:
    """The signature in `text`, a name that contains one; "" without one."""
    found = _SIGNATURE.search(text)
    return found[0] if found else ""


def is_own(name: str) -> bool:
    """Whether `name` is the name of a namespace, with or without a signature."""
    return _SIGNATURE.fullmatch(name) is not None or re.fullmatch(PREFIX + "_[0-9a-f]{12}", name) is not None


def owner_is_dead(name: str) -> bool:
    """Whether the owner in `name` is certainly dead: a process of this host, with an id that no process has now."""
    found = _SIGNATURE.fullmatch(name)
    return found is not None and found[1] == host() and processes.identity(int(found[2])) is None


def owner_is_alive(name: str) -> bool:
    """Whether the owner in `name` is certainly alive: a process of this host."""
    found = _SIGNATURE.fullmatch(name)
    return found is not None and found[1] == host() and processes.identity(int(found[2])) is not None


def age(name: str, now: int) -> int:
    """The age in seconds, by the clock that signed `name`; 0 where the time is unknown or in the future."""
    found = _SIGNATURE.fullmatch(name)
    made = int(found[3], 16) if found else 0
    return max(0, now - made) if made else 0


def host() -> str:
    """This host: the first letters of its name, and a hash that distinguishes it from other hosts.

    On Linux the hash contains the namespace of process ids. Its number is the same on every machine at first, so the
    hash also contains the kernel's boot id.
    """
    try:
        space = os.stat("/proc/self/ns/pid").st_ino if platform.PROC else 0
    except OSError:
        space = 0
    name = socket.gethostname().lower()
    identity = hashlib.sha256(f"{name} {_machine()} {space}".encode()).hexdigest()
    return re.sub(r"[^a-z0-9]", "", name)[:12] + identity[:12]


@functools.cache
def _machine() -> str:
    for path in ("/proc/sys/kernel/random/boot_id", "/etc/machine-id"):
        with contextlib.suppress(OSError):
            if text := Path(path).read_text(errors="replace").strip():
                return text
    return ""
