"""Keys of namespaces on a memcached server: list and delete them."""

from urllib.parse import unquote

from servicectx.isolation import owner_names
from servicectx.system import sockets
from servicectx.system.originals import time

LAST = (b"END", b"MN", b"BUSY", b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR")
WAIT = 10.0  # seconds for one reply
LISTING_WAIT = 2.0  # seconds; the server allows one listing of keys at a time


def signed(host: str, port: int, path: str = "") -> list[str]:
    """The keys, or none if the server does not list them. Format: "Metadump" in memcached's doc/protocol.txt."""
    until = time.monotonic() + LISTING_WAIT
    while True:
        lines = _request(host, port, b"lru_crawler metadump all\r\n", path)
        if not lines[-1].startswith(b"BUSY") or time.monotonic() > until:
            break
        time.sleep(0.005)
    keys = (unquote(line[4:].partition(b" ")[0].decode()) for line in lines if line.startswith(b"key="))
    return [key for key in keys if owner_names.signature(key)]


def remove(host: str, port: int, keys: list[str], path: str = "") -> None:
    _request(host, port, b"".join(b"delete %s noreply\r\n" % key.encode() for key in keys) + b"mn\r\n", path)


def _request(host: str, port: int, commands: bytes, path: str) -> list[bytes]:
    """The lines of the reply, up to and including its last line."""
    with sockets.connect(host, port, WAIT, path) as connection, connection.makefile("rb") as reader:
        connection.sendall(commands)
        lines: list[bytes] = []
        while not lines or not lines[-1].startswith(LAST):
            lines.append(reader.readline())
            if not lines[-1].endswith(b"\n"):
                raise EOFError("the server closed the connection")
    return lines
