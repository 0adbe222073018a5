"""A part of the NATS protocol: requests to JetStream's API. Standard library only."""

import os
from collections.abc import Mapping
from typing import Any

from servicectx.system.originals import json, socket


def login(user: str = "", password: str = "", token: str = "") -> dict[str, str]:
    """The login as the protocol names it. Empty: none."""
    if token:
        return {"auth_token": token}
    return {"user": user, "pass": password} if user or password else {}


class Connection:
    """One connection, logged in. Raises OSError for a rejected request, EOFError on a closed connection."""

    def __init__(self, host: str, port: int, given: Mapping[str, str], wait: float = 10.0) -> None:
        self._socket = socket.create_connection((host, port), wait)
        self._reader = self._socket.makefile("rb")
        self._inbox = f"_INBOX.{os.urandom(8).hex()}"
        hello = {"verbose": False, "pedantic": False, "lang": "python", "version": "1", "protocol": 1}
        hello |= {"headers": True, "no_responders": True, **given}
        self._send(f"CONNECT {json.dumps(hello)}\r\nSUB {self._inbox} 1\r\n")

    def ask(self, subject: str, **question: Any) -> dict[str, Any]:
        """The reply to one request, both JSON. Empty if `subject` has no subscriber."""
        text = json.dumps(question)
        self._send(f"PUB {subject} {self._inbox} {len(text)}\r\n{text}\r\n")
        while True:
            line = self._reader.readline().decode()
            kind, *fields = line.split() or [""]
            if kind == "PING":
                self._send("PONG\r\n")
            elif kind in ("MSG", "HMSG"):
                body = self._reader.read(int(fields[-1]) + 2)[:-2]
                head = int(fields[-2]) if kind == "HMSG" else 0
                answer: dict[str, Any] = json.loads(body[head:] or "{}")
                return answer
            elif kind == "-ERR":
                raise ConnectionRefusedError(line.strip())
            elif not line.endswith("\r\n"):
                raise EOFError("the server closed the connection")

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def _send(self, text: str) -> None:
        self._socket.sendall(text.encode())
