"""mirakuru alone: it waits only for a TCP connection, which it tries every 100 ms."""

import socket
import sys
import time

from mirakuru import TCPExecutor

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
command = [sys.argv[1], "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
with TCPExecutor(command, host="127.0.0.1", port=port, timeout=30):
    print("mark usable", time.monotonic())
print("mark left", time.monotonic())
