"""Connections: to a port or a Unix socket, and long-lived ones, safe against user code that closes descriptors."""

from servicectx.system.descriptors import identity
from servicectx.system.originals import socket


def connect(host: str, port: int, wait: float, path: str = "") -> socket.socket:
    """Connect to the Unix socket `path`; without one, to the port. `wait`: seconds for each step. Raises OSError."""
    if not path:
        return socket.create_connection((host, port), wait)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(wait)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


class KeptSocket:
    """A socket with a check that its descriptor number still refers to it."""

    def __init__(self, kept: socket.socket) -> None:
        self._socket = kept
        self._identity = identity(kept.fileno())

    def check(self) -> None:
        """Raise EOFError where the number refers to another file, which must not be written to."""
        if not self._is_ours():
            raise EOFError("the connection was closed by code of this process")

    def close(self) -> None:
        """Close the socket, unless user code has closed it. A second call does nothing."""
        if not self._is_ours():
            self._socket.detach()
        self._socket.close()

    def _is_ours(self) -> bool:
        number = self._socket.fileno()
        return number >= 0 and self._identity is not None and identity(number) == self._identity
