"""Joins and leaves of this process, with more and more other processes that hold the instance. Arguments: users."""

import os
import sys
import time

from servicectx import managed

TIMES = int(os.environ.get("BENCH_TIMES", "15"))


def hold() -> int:
    """A child that holds the instance until the parent ends. Returns once it does."""
    done, up = os.pipe()
    child = os.fork()
    if not child:
        os.close(release)
        with managed("redis"):
            os.write(up, b"!")
            os.read(released, 1)
        os._exit(0)
    os.close(up)
    assert os.read(done, 1) == b"!"
    os.close(done)
    return child


released, release = os.pipe()
holders: list[int] = []
for size in map(int, sys.argv[1:]):
    while len(holders) < size:
        holders.append(hold())
    for number in range(-2, TIMES):
        user = managed("redis")
        requested = time.monotonic()
        user.__enter__()
        joined = time.monotonic()
        user.__exit__()
        left = time.monotonic()
        assert user.joined
        if number >= 0:
            print("point join", size, f"{(joined - requested) * 1000:.4f}")
            print("point leave", size, f"{(left - joined) * 1000:.4f}")
os.close(release)
for child in holders:
    os.waitpid(child, 0)
