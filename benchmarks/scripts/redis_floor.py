"""The floor: start the server, send PING every millisecond on a raw socket, kill it."""

import socket
import subprocess
import sys
import time

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
command = [sys.argv[1], "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
while True:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(64) == b"+PONG\r\n":
                break
    except OSError:
        pass
    time.sleep(0.001)
print("mark usable", time.monotonic())
server.kill()
server.wait()
print("mark left", time.monotonic())
