"""The floor: copy a prepared data directory, start the server directly, log in once on a raw socket, kill it.

The first run, the warm-up, prepares the data directory.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import time

binaries = os.environ["SERVICECTX_POSTGRES_BIN"]
prepared, data = "../floor-data", "data"  # all runs share the first


def copy(source: str, target: str) -> None:
    os.mkdir(target, 0o700)
    for entry in os.scandir(source):
        if entry.is_dir(follow_symlinks=False):
            copy(entry.path, f"{target}/{entry.name}")
            continue
        reading = os.open(entry.path, os.O_RDONLY)
        writing = os.open(f"{target}/{entry.name}", os.O_WRONLY | os.O_CREAT, 0o600)
        while os.copy_file_range(reading, writing, 1 << 30):
            pass
        os.close(reading)
        os.close(writing)


def logs_in() -> bool:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        startup = b"user\0postgres\0database\0postgres\0\0"
        connection.sendall(struct.pack("!ii", len(startup) + 8, 196608) + startup)
        reply = b""
        while chunk := connection.recv(4096):
            reply += chunk
            if reply[-6:-1] == b"Z\0\0\0\5":  # ready for a query
                return True
    return False


if not os.path.exists(prepared):
    initdb = [f"{binaries}/initdb", "-D", prepared, "-U", "postgres", "--auth=trust", "--no-sync", "--locale=C.UTF-8"]
    subprocess.run([*initdb, "--encoding=UTF8"], check=True, stdout=subprocess.DEVNULL)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
copy(prepared, data)
settings = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "wal_level=minimal", "max_wal_senders=0"]
settings += ["shared_buffers=32MB", "listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories="]
command = [f"{binaries}/postgres", "-D", data, *(argument for setting in settings for argument in ("-c", setting))]
with open("log", "wb") as log:
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
while True:
    try:
        if logs_in():
            break
    except OSError:
        pass
    time.sleep(0.001)
print("mark usable", time.monotonic())
server.send_signal(signal.SIGQUIT)
server.wait()
shutil.rmtree(data)
print("mark left", time.monotonic())
