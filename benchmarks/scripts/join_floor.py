"""The floor of a join: the standard library alone, with the state file and the server of a running instance."""

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


def hold(service: str) -> None:
    """Hold an instance in a child until the parent closes its end."""
    from servicectx import managed

    with managed(service):
        os.write(up, b"!")
        os.read(released, 1)
    os._exit(0)


done, up = os.pipe()
released, release = os.pipe()
if not (holder := os.fork()):
    os.close(release)
    hold(sys.argv[1])
os.read(done, 1)
state = state_file()
for folder in ("warm-up", "leases"):
    os.mkdir(folder)
leave("warm-up", join("warm-up", state))
requested = time.monotonic()
descriptor = join("leases", state)
joined = time.monotonic()
leave("leases", descriptor)
left = time.monotonic()
os.close(release)
os.waitpid(holder, 0)
for name, at in {"requested": requested, "joined": joined, "leaving": joined, "left": left}.items():
    print("mark", name, at)
