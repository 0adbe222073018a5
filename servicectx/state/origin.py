"""The origin of a process: process ids are valid only within one boot and one PID namespace."""

import functools
import os
from typing import Any, NamedTuple

from servicectx.system.originals import open

BOOT = "/proc/sys/kernel/random/boot_id"


class Origin(NamedTuple):
    """The boot and the PID namespace of a process (Linux; elsewhere empty), and its host's name for messages."""

    boot: str = ""
    pid_namespace: str = ""
    host: str = ""

    def is_here(self) -> bool:
        """Whether process ids of this origin are valid in this process."""
        return self[:2] == here()[:2]

    def shown(self) -> str:
        if self.boot != here().boot:
            return "an earlier boot of the machine"
        return f"another PID namespace ({self.pid_namespace or 'unknown'}, host name {self.host or 'unknown'})"


@functools.cache
def here() -> Origin:
    try:
        with open(BOOT) as file:
            boot = file.read(64).strip()
        status = os.stat("/proc/self/ns/pid")
        return Origin(boot, f"pid:[{status.st_ino}]", os.uname().nodename)
    except OSError:
        return Origin(host=os.uname().nodename)


def decode(raw: Any) -> Origin:
    """The origin in a record. Any other value gives an unknown origin, which on Linux is never the current one."""
    if isinstance(raw, list) and len(raw) == 3 and all(isinstance(part, str) for part in raw):
        return Origin(*raw)
    return Origin("unknown", "unknown", "unknown")
