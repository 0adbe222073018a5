"""The floor of a crowd: the standard library alone, with the state file and the server of a running instance.

BENCH_CROWD: the number of processes. They are released and timed like those of crowd.py.
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


def join(folder: str, state_file: str) -> int:
    """Lock a file of this process, read the state, and ping the server; the descriptor of the lock."""
    descriptor = os.open(f"{folder}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with open(state_file) as file:
        state = json.load(file)
    ping(state)
    return descriptor


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


def leave(folder: str, descriptor: int) -> None:
    os.close(descriptor)
    os.unlink(f"{folder}/{os.getpid()}")


def state_file() -> str:
    """The state file of the only instance that runs."""
    return glob.glob(os.environ["XDG_RUNTIME_DIR"] + "/servicectx/*.json")[0]


def user() -> None:
    os.close(come)
    os.close(go)
    leave("warm-up", join("warm-up", state))
    os.write(ready, b"!")
    os.read(may_come, 1)
    requested = time.monotonic()
    descriptor = join("leases", state)
    joined = time.monotonic()
    os.write(ready, b"!")
    os.read(may_go, 1)
    leaving = time.monotonic()
    leave("leases", descriptor)
    os.write(results_out, struct.pack(STAMPS, requested, joined, leaving, time.monotonic()))
    os._exit(0)


def wait_for_all() -> None:
    left = count
    while left:
        left -= len(os.read(seen, left))


service, count = sys.argv[1], int(os.environ["BENCH_CROWD"])
may_come, come = os.pipe()
may_go, go = os.pipe()
seen, ready = os.pipe()
results_in, results_out = os.pipe()
for folder in ("warm-up", "leases"):
    os.mkdir(folder)
with managed(service):
    state = state_file()
    for _ in range(count):
        if not os.fork():
            try:
                user()
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
