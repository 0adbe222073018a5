"""Many processes join at once, wait for each other, and leave at once. Their parent holds the instance all the time.

Each has joined another instance before, so the figures exclude the cost of the first code in a forked process.
"""

import os
import struct
import sys
import time

from servicectx import managed

STAMPS = "dddd"


def gate() -> tuple[int, int]:
    """A pipe. Its reader continues once all processes have closed the other end."""
    return os.pipe()


def user(service: str) -> None:
    os.close(come)
    os.close(go)
    with managed(service, name="other"):
        pass
    shared = managed(service)
    os.write(ready, b"!")
    os.read(may_come, 1)
    requested = time.monotonic()
    shared.__enter__()
    joined = time.monotonic()
    os.write(ready, b"!")
    os.read(may_go, 1)
    leaving = time.monotonic()
    shared.__exit__()
    os.write(results_out, struct.pack(STAMPS, requested, joined, leaving, time.monotonic()))
    os._exit(0)


def wait_for_all() -> None:
    left = count
    while left:
        left -= len(os.read(seen, left))


service, count = sys.argv[1], int(os.environ["BENCH_CROWD"])
may_come, come = gate()
may_go, go = gate()
seen, ready = os.pipe()
results_in, results_out = os.pipe()
with managed(service), managed(service, name="other"):
    for _ in range(count):
        if not os.fork():
            try:
                user(service)
            finally:
                os._exit(1)
    wait_for_all()
    os.close(come)
    wait_for_all()
    os.close(go)
    stamps = [struct.unpack(STAMPS, os.read(results_in, struct.calcsize(STAMPS))) for _ in range(count)]
    for _ in range(count):
        assert os.wait()[1] == 0
requested, joined, leaving, left = zip(*stamps, strict=True)
for name, at in {
    "requested": min(requested),
    "joined": max(joined),
    "leaving": min(leaving),
    "left": max(left),
}.items():
    print("mark", name, at)
