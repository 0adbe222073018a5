"""Many processes join at once, meet, and leave at once. The one that made them holds the instance all the time.

Each has joined another instance before: what a forked process pays when it first runs any code is not in the figures.
"""

import os
import struct
import sys
import time

from servicectx import managed

STAMPS = "dddd"


def gate() -> tuple[int, int]:
    """Who reads from it passes when everybody has closed the other end."""
    return os.pipe()


def user(service: str) -> None:
    os.close(come)
    os.close(go)
    with managed(service, name="other"):
        pass
    shared = managed(service)
    os.write(ready, b"!")
    os.read(may_come, 1)
    asked = time.monotonic()
    shared.__enter__()
    joined = time.monotonic()
    os.write(ready, b"!")
    os.read(may_go, 1)
    leaving = time.monotonic()
    shared.__exit__()
    os.write(told, struct.pack(STAMPS, asked, joined, leaving, time.monotonic()))
    os._exit(0)


def wait_for_all() -> None:
    left = count
    while left:
        left -= len(os.read(seen, left))


service, count = sys.argv[1], int(sys.argv[2])
may_come, come = gate()
may_go, go = gate()
seen, ready = os.pipe()
heard, told = os.pipe()
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
    stamps = [struct.unpack(STAMPS, os.read(heard, struct.calcsize(STAMPS))) for _ in range(count)]
    for _ in range(count):
        assert os.wait()[1] == 0
asked, joined, leaving, left = zip(*stamps, strict=True)
for name, at in {"asked": min(asked), "joined": max(joined), "leaving": min(leaving), "left": max(left)}.items():
    print("mark", name, at)
