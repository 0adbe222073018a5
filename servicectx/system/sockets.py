"""Connections that this process keeps for long, while user code may close any descriptor and reuse its number."""

from servicectx.system.descriptors import identity
from servicectx.system.originals import socket


class KeptSocket:
    """Knows whether a socket's number still stands for that socket."""

    def __init__(self, kept: socket.socket) -> None:
        self._socket = kept
        self._identity = identity(kept.fileno())

    def check(self) -> None:
        """Raise EOFError where the number stands for a file of somebody else's: nothing is to be written to it."""
        if not self._is_ours():
            raise EOFError("the connection was closed by code of this process")

    def close(self) -> None:
        """Close the socket, unless user code closed it before. The second time nothing happens."""
        if not self._is_ours():
            self._socket.detach()
        self._socket.close()

    def _is_ours(self) -> bool:
        number = self._socket.fileno()
        return number >= 0 and self._identity is not None and identity(number) == self._identity
