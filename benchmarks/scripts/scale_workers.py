"""Whole runs of pytest-xdist with more and more workers. Arguments: numbers of workers."""

import os
import subprocess
import sys
import time

TIMES = int(os.environ.get("BENCH_TIMES", "3"))
TESTS = os.environ.get("BENCH_TESTS", "96")
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir=.", "-p", "xdist.plugin"]

for size in map(int, sys.argv[1:]):
    arguments = [*PYTEST, "-p", "servicectx_pytest", "-n", str(size), os.environ["BENCH_SCRIPTS"]]
    arguments[-1] += "/test_own_database.py"
    for _ in range(TIMES):
        began = time.monotonic()
        subprocess.run(
            [sys.executable, *arguments],
            check=True,
            env=os.environ | {"BENCH_TESTS": TESTS},
            stdout=subprocess.DEVNULL,
        )
        print("point run", size, f"{(time.monotonic() - began) * 1000:.4f}", flush=True)
