"""Who made a namespace: written into its name, so that what a dead maker left can be told and removed."""

import os
import re
import socket

from servicectx._running import pids

PREFIX = "sc"


def sign() -> str:
    """A name for something of this process: `sc_<host>_<pid>_<random>`, at most 63 letters."""
    return f"{PREFIX}_{_host()}_{os.getpid()}_{os.urandom(5).hex()}"


def is_dead(name: str) -> bool:
    """Whether the process that signed `name` is known to be dead: one of this host, whose id nobody has now."""
    found = re.fullmatch(rf"{PREFIX}_(\w+)_(\d+)_[0-9a-f]{{10}}", name)
    return found is not None and found[1] == _host() and pids.identity(int(found[2])) is None


def _host() -> str:
    """The host, and on Linux the namespace in which its process ids count."""
    try:
        space = f"{os.stat('/proc/self/ns/pid').st_ino % 0xFFFF:04x}"
    except OSError:
        space = "0"
    return re.sub(r"\W", "", socket.gethostname().lower())[:20] + space
