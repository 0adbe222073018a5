"""The machine of a run, in one line."""

import datetime
import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def line(python: str) -> str:
    """Processor, cores, system, Python and date. `python`: the version that the contenders ran on."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{_processor()}, {os.cpu_count()} cores, {system}, Python {python}, {today}"


def _processor() -> str:
    if CPU_INFO.exists():
        for text in CPU_INFO.read_text().splitlines():
            name, _, value = text.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
