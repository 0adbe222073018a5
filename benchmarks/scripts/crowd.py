"""Processes join at once, wait for each other, and leave at once. Their parent holds the instance all the time.

Arguments: the service, and `floor` for the floor of the same: the standard library alone takes a lock, reads the state
file of the running instance, and pings its server. BENCH_CROWD: the number of processes. Each has joined once before,
so the figures exclude imports and the cost of the first code in a forked process.
"""

import fcntl
import glob
import json
import os
import re
import socket
import struct
import sys
import time
from typing import Any

from servicectx import managed

STAMPS = "dddd"


class LibraryUser:
    def __init__(self) -> None:
        with managed(service, name="other"):
            pass
        self.shared = managed(service)

    def join(self) -> None:
        self.shared.__enter__()

    def leave(self) -> None:
        self.shared.__exit__()


class FloorUser:
    def __init__(self) -> None:
        (self.state_file,) = glob.glob(f"{RUNTIME}/servicectx/{service}-*.json")
        self.lease = f"lease-{os.getpid()}"
        self.join()
        self.leave()

    def join(self) -> None:
        self.descriptor = os.open(self.lease, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        with open(self.state_file) as file:
            ping(json.load(file))

    def leave(self) -> None:
        os.close(self.descriptor)
        os.unlink(self.lease)


def ping(state: dict[str, Any]) -> None:
    """As the state describes it; for Postgres an SSLRequest, which the server answers without a login."""
    with socket.create_connection((state["host"], state["port"]), 5) as connection:
        if "send" not in state["ping"]:
            connection.sendall(struct.pack("!ii", 8, 80877103))
            assert connection.recv(1) in (b"N", b"S")
            return
        connection.sendall(state["ping"]["send"].encode("latin-1"))
        reply = ""
        while not re.search(state["ping"]["expect"], reply, re.DOTALL):
            chunk = connection.recv(65536)
            assert chunk
            reply += chunk.decode("latin-1")


def run(user: LibraryUser | FloorUser) -> None:
    os.write(ready, b"!")
    os.read(may_come, 1)
    requested = time.monotonic()
    user.join()
    joined = time.monotonic()
    os.write(ready, b"!")
    os.read(may_go, 1)
    leaving = time.monotonic()
    user.leave()
    os.write(results_out, struct.pack(STAMPS, requested, joined, leaving, time.monotonic()))
    os._exit(0)


def wait_for_all() -> None:
    left = count
    while left:
        left -= len(os.read(seen, left))


RUNTIME = os.environ["XDG_RUNTIME_DIR"]
service, count = sys.argv[1], int(os.environ["BENCH_CROWD"])
User = FloorUser if "floor" in sys.argv[2:] else LibraryUser
may_come, come = os.pipe()  # a reader continues once all processes have closed the other end
may_go, go = os.pipe()
seen, ready = os.pipe()
results_in, results_out = os.pipe()
with managed(service), managed(service, name="other"):
    for _ in range(count):
        if not os.fork():
            try:
                os.close(come)
                os.close(go)
                run(User())
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
