"""The slowness of a busy machine, so that a wait on it is not taken for a hang."""

import os
import select
import subprocess
import sys
import time
from typing import IO

LONGEST = 120.0  # seconds; a longer wait is a hang on every machine
REFERENCE = [sys.executable, "-I", "-S", "-c", "import time\nwhile time.process_time() < 0.15: pass"]


def slowness() -> float:
    """Wall time of a short process, divided by its processor time: 1 on an idle machine, more on a busy one."""
    began = time.monotonic()
    process = subprocess.Popen(REFERENCE)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return max(1.0, (time.monotonic() - began) / (usage.ru_utime + usage.ru_stime))


def is_readable(stream: IO[str], seconds: float) -> bool:
    """Whether there is something to read within `seconds`, times the slowness, which counts at its worst meanwhile."""
    began, slowest = time.monotonic(), 1.0
    while not select.select([stream], [], [], seconds)[0]:
        slowest = max(slowest, slowness())
        if time.monotonic() - began > min(seconds * slowest, LONGEST):
            return False
    return True
