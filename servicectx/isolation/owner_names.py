"""Who made a namespace, and when: written into its name, so that what a dead maker left can be told and removed."""

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
    """A name for something of this process: `sc_<host>_<pid>_<random>`, at most 63 letters.

    The random part begins with 8 hexadecimal digits that say when, in seconds since 1970 by the clock of the server
    that keeps it, or 0 where that was not asked; 10 random ones follow.
    """
    return f"{PREFIX}_{host()}_{os.getpid()}_{made & 0xFFFFFFFF:08x}{os.urandom(5).hex()}"


def signature(text: str) -> str:
    """The signature in `text`, a name that was made of one, or nothing."""
    found = _SIGNATURE.search(text)
    return found[0] if found else ""


def owner_is_dead(name: str) -> bool:
    """Whether the process that signed `name` is known to be dead: one of this host, whose id nobody has now."""
    found = _SIGNATURE.fullmatch(name)
    return found is not None and found[1] == host() and processes.identity(int(found[2])) is None


def owner_is_alive(name: str) -> bool:
    """Whether the process that signed `name` is known to live: one of this host."""
    found = _SIGNATURE.fullmatch(name)
    return found is not None and found[1] == host() and processes.identity(int(found[2])) is not None


def age(name: str, now: int) -> int:
    """How old something is, in seconds, by the clock that signed it; 0 where that is unknown, or in the future."""
    found = _SIGNATURE.fullmatch(name)
    made = int(found[3], 16) if found else 0
    return max(0, now - made) if made else 0


def host() -> str:
    """This host: the first letters of its name, and a hash of all that tells it from others.

    On Linux the namespace in which process ids count is part of that, and as each machine calls its first one the
    same, so is what the kernel calls itself until the machine is switched off.
    """
    try:
        space = os.stat("/proc/self/ns/pid").st_ino if platform.PROC else 0
    except OSError:
        space = 0
    name = socket.gethostname().lower()
    told = hashlib.sha256(f"{name} {_machine()} {space}".encode()).hexdigest()
    return re.sub(r"[^a-z0-9]", "", name)[:12] + told[:12]


@functools.cache
def _machine() -> str:
    for path in ("/proc/sys/kernel/random/boot_id", "/etc/machine-id"):
        with contextlib.suppress(OSError):
            if said := Path(path).read_text(errors="replace").strip():
                return said
    return ""
