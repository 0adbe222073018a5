"""Open and close a database, with more and more open databases. Arguments: numbers of databases."""

import os
import shutil
import sys
import time
from contextlib import ExitStack

from servicectx import isolated, managed

TIMES = int(os.environ.get("BENCH_TIMES", "15"))
EACH = 9 * 2**20  # bytes of a database
SPARE = 2 * 2**30  # bytes that stay free

with managed("postgres", timeout=300) as pg, ExitStack() as stack:
    running = 0
    for size in map(int, sys.argv[1:]):
        free = shutil.disk_usage(os.environ["XDG_RUNTIME_DIR"]).free
        if (size - running) * EACH + SPARE > free:
            print(f"note no room for {size} databases: {free // 2**20} MiB are free")
            break
        for _ in range(size - running - 1):
            stack.enter_context(isolated(pg))
        running = size - 1  # the measured database is one more
        for number in range(-2, TIMES):
            began = time.monotonic()
            database = isolated(pg)
            database.__enter__()
            opened = time.monotonic()
            database.__exit__(None, None, None)
            closed = time.monotonic()
            if number >= 0:
                print("point open", size, f"{(opened - began) * 1000:.4f}")
                print("point close", size, f"{(closed - opened) * 1000:.4f}")
            time.sleep(0.05)  # a test between two databases
