"""A start with a spare, and a stay until the next spare is there. In the first run of all there is none yet.

Where the cache is too small for spares, there are none.
"""

import os
import time
from pathlib import Path

from servicectx import managed

spares = Path(os.environ["SERVICECTX_CACHE"]) / "spares"
print("mark asked", time.monotonic())
with managed("postgres", storage=os.environ["BENCH_STORAGE"]):
    print("mark usable", time.monotonic())
    until = time.monotonic() + 60
    while "SERVICECTX_CACHE_SIZE" not in os.environ and not any(spares.glob("[!.]*")):
        assert time.monotonic() < until, "no spare was made"
        time.sleep(0.05)
