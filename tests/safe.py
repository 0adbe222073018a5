"""A service without a template, for tests: it writes its data when it is asked to end, its password among them."""

import contextlib
import json
import os
import signal
import socket
import socketserver
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from servicectx import Plan, Service, ServiceDetails
from servicectx.services.base import environment

ROOT = str(Path(__file__).parents[1])


class SafeDetails(ServiceDetails):
    """What is in it is given to those who say the password."""

    password: str
    directory: str

    def ask(self, *words: str) -> Any:
        return say(self.host, self.port, self.password, *words)


@dataclass(frozen=True, kw_only=True)
class SafeOptions:
    """How it ends when it gets SIGTERM (negative: by the signal itself), and which end the plan calls clean."""

    status: int = -15
    clean: int = -15


class Safe(Service[SafeDetails]):
    """Fills an empty directory."""

    name: ClassVar[str] = "safe"
    Options: ClassVar[type] = SafeOptions
    Details: ClassVar[Any] = SafeDetails

    def program(self, options: SafeOptions) -> str:
        return sys.executable

    def plan(self, options: SafeOptions, program: str, secret: str) -> Plan:
        return Plan(
            service=self.name,
            command=[program, __file__, "{port}", "{data}", str(options.status)],
            environment=environment(PYTHONPATH=ROOT),
            ready={"kind": "call", "target": "tests.safe:claim_server", "old": "{template_secret}", "new": secret},
            clean_signal=int(signal.SIGTERM),
            clean_statuses=[options.clean],
            settle={"kind": "call", "target": "tests.safe:settle", "password": secret},
            secret=secret,
        )

    def details(self, options: SafeOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"password": secret, "directory": facts["data"]}


def say(host: str, port: int, *words: str) -> Any:
    with socket.create_connection((host, port), 5) as connection:
        connection.sendall(json.dumps(words).encode() + b"\n")
        return json.loads(connection.makefile().readline() or "null")


def claim_server(host: str, port: int, wait: float, *, old: str, new: str) -> dict[str, Any] | None:
    """A password that it does not know is never accepted again: this would wait for ever."""
    return {} if say(host, port, old, "password", new) == "done" else None


def settle(host: str, port: int, wait: float, *, password: str) -> dict[str, Any] | None:
    return {} if say(host, port, password, "settle") == "done" else None


def serve(port: int, data: Path, status: int) -> None:
    file = data / "all.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {"password": ""}

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            password, word, *more = json.loads(self.rfile.readline())
            answer: str | None = "done"
            if password != known["password"]:
                answer = "wrong password"
            elif word == "password":
                known["password"] = more[0]
            elif word == "settle":
                known["settled"] = "yes"
            elif word == "put":
                known[more[0]] = more[1]
            else:
                answer = known.get(more[0])
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    def end(*_: object) -> None:
        file.write_text(json.dumps(known))
        if status >= 0:
            os._exit(status)
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)

    signal.signal(signal.SIGTERM, end)
    socketserver.TCPServer.allow_reuse_address = True
    with contextlib.closing(socketserver.TCPServer(("127.0.0.1", port), Answer)) as server:
        server.serve_forever(poll_interval=0.01)


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
