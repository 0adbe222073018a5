"""Opening a database while some are ready, the first connection to it, and closing it."""

import os
import time
from pathlib import Path

import psycopg

from servicectx import isolated, managed

FIRST = 2


def ready() -> int:
    return len(list(Path(home).glob("postgres-*.*/pool/ready/*/*")))


def wait_until_ready() -> None:
    until = time.monotonic() + 30
    while ready() < FIRST:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.05)  # until no other database is being prepared


home = os.environ["XDG_RUNTIME_DIR"] + "/servicectx"
with managed("postgres") as pg:
    for _ in range(3):
        with isolated(pg) as mine, psycopg.connect(mine.url):
            pass
        wait_until_ready()
    isolating = isolated(pg)
    requested = time.monotonic()
    mine = isolating.__enter__()
    given = time.monotonic()
    connection = psycopg.connect(mine.url)
    connected = time.monotonic()
    connection.close()
    leaving = time.monotonic()
    isolating.__exit__(None, None, None)
    left = time.monotonic()
for name, at in {
    "requested": requested,
    "given": given,
    "connected": connected,
    "leaving": leaving,
    "back": left,
}.items():
    print("mark", name, at)
