"""A start with a spare, and a stay until the next spare is there. In the first run of all there is none yet."""

import os
import time
from pathlib import Path

from servicectx import managed

spares = Path(os.environ["SERVICECTX_CACHE"]) / "spares"
with managed("postgres", storage=os.environ["BENCH_STORAGE"]):
    print("mark usable", time.monotonic())
    until = time.monotonic() + 60
    while not any(spares.glob("[!.]*")):
        assert time.monotonic() < until, "no spare was made"
        time.sleep(0.05)
