"""The memory of a keeper, a watchdog and a prefetcher, from /proc."""

import json
import os
import time
from pathlib import Path

from servicectx import isolated, managed


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def size(pid: int, field: str) -> int:
    """In kB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise AssertionError(field)


def is_prefetcher(pid: int) -> bool:
    return b"isolation.prefetcher" in Path(f"/proc/{pid}/cmdline").read_bytes()


with managed("postgres") as pg:
    for _ in range(20):
        with isolated(pg):
            time.sleep(0.02)
    (record,) = Path(os.environ["XDG_RUNTIME_DIR"]).glob("servicectx/postgres-*.*/processes.json")
    processes = json.loads(record.read_text())
    found = {name: int(processes[name][0]) for name in ("keeper", "watchdog")}
    found["prefetcher"] = next(child for child in children(found["keeper"]) if is_prefetcher(child))
    time.sleep(1.0)
    for name, pid in found.items():
        print("memory", name, size(pid, "Rss"), size(pid, "Pss"))
