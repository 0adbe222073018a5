"""A start with a spare, then a wait until the next spare exists. The very first run has no spare yet.

A cache that is too small for spares has none.
"""

import os
import time
from pathlib import Path

from servicectx import managed

spares = Path(os.environ["SERVICECTX_CACHE"]) / "spares"
print("mark requested", time.monotonic())
with managed("postgres", storage=os.environ["BENCH_STORAGE"]):
    print("mark usable", time.monotonic())
    wait = float(os.environ["BENCH_SPARE_WAIT"])  # seconds; a spare is made with the lowest priority
    until = time.monotonic() + wait
    while wait and "SERVICECTX_CACHE_SIZE" not in os.environ and not any(spares.glob("[!.]*")):
        assert time.monotonic() < until, "no spare was prepared"
        time.sleep(0.05)
