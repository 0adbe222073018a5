"""The part of Redis' protocol that runs commands, with the standard library alone."""

from typing import Any

from servicectx.system.originals import socket
from servicectx.system.sockets import KeptSocket


class Refused(Exception):
    """The server answered with an error."""


class Connection:
    """A logged-in connection. Raises Refused, OSError, or EOFError when the server closes the connection."""

    def __init__(self, host: str, port: int, user: str, password: str, wait: float = 10.0) -> None:
        self._socket = socket.create_connection((host, port), wait)
        self._kept = KeptSocket(self._socket)
        self._reader = self._socket.makefile("rb")
        if password:
            self.run("AUTH", *filter(None, [user]), password)

    def run(self, *arguments: str | int) -> Any:
        """Run one command. Returns its answer as str, int, None or a list of these."""
        parts = [str(argument).encode() for argument in arguments]
        self._kept.check()
        request = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(b"*%d\r\n%s" % (len(parts), request))
        return self.answer()

    def close(self) -> None:
        self._kept.close()
        self._reader.close()

    def answer(self) -> Any:
        """Read the next answer or, on a connection that listens on channels, the next published message."""
        line = self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise Refused(text)
        if kind == b":":
            return int(text)
        if kind == b"$":
            return None if text == "-1" else self._reader.read(int(text) + 2)[:-2].decode()
        if kind == b"*":
            return [self.answer() for _ in range(int(text))]
        return text
