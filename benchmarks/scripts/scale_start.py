"""Cold starts of Redis and their ends, with more and more other instances. Arguments: numbers of other instances."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from servicectx import managed

TIMES = int(os.environ.get("BENCH_TIMES", "7"))
SLEEPER = ["sh", "-c", "echo up; exec sleep 100000"]


def other(number: int) -> Any:
    """The cheapest instance: a program without a port, but with a keeper and a watchdog of its own."""
    return managed("command", name=f"other{number}", command=SLEEPER, ready="log:up", timeout=300)


def enter(number: int) -> Any:
    instance = other(number)
    instance.__enter__()
    return instance


with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
    running = 0
    for size in map(int, sys.argv[1:]):
        for instance in pool.map(enter, range(running, size)):
            stack.push(instance.__exit__)
        running = size
        for number in range(-1, TIMES):
            began = time.monotonic()
            with managed("redis"):
                usable = time.monotonic()
            gone = time.monotonic()
            if number >= 0:
                print("point start", size, f"{(usable - began) * 1000:.4f}")
                print("point end", size, f"{(gone - usable) * 1000:.4f}")
