"""pgserver: a fresh data directory, until it gives the address."""

import time

import pgserver  # type: ignore[import-not-found]  # a peer, in the benchmarks' own environment only

server = pgserver.get_server("data", cleanup_mode="delete")
server.get_uri()
print("mark usable", time.monotonic())
server.cleanup()
print("mark left", time.monotonic())
