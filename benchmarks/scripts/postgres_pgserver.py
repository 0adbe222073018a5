"""pgserver: a fresh data directory, until the address is available."""

import time

import pgserver

server = pgserver.get_server("data", cleanup_mode="delete")
server.get_uri()
print("mark usable", time.monotonic())
server.cleanup()
print("mark left", time.monotonic())
