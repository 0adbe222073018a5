"""A service without a template, for tests. On SIGTERM it writes its data, with its password among them."""

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
from servicectx.services.base import SnapshotSupport, environment

ROOT = str(Path(__file__).parents[1])


class SafeDetails(ServiceDetails):
    """Details of the service. A request needs the password."""

    password: str
    directory: str

    def ask(self, *fields: str) -> Any:
        return send(self.host, self.port, self.password, *fields)


@dataclass(frozen=True, kw_only=True)
class SafeOptions:
    """`status`: exit status on SIGTERM, negative for an end by the signal. `clean`: the clean status of the plan."""

    status: int = -15
    clean: int = -15


class Safe(Service[SafeDetails]):
    """The service. It starts with an empty directory."""

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
            snapshot=SnapshotSupport(
                int(signal.SIGTERM),
                [options.clean],
                flush={"kind": "call", "target": "tests.safe:flush", "password": secret},
                secret=secret,
            ),
        )

    def details(self, options: SafeOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"password": secret, "directory": facts["data"]}


def send(host: str, port: int, *fields: str) -> Any:
    with socket.create_connection((host, port), 5) as connection:
        connection.sendall(json.dumps(fields).encode() + b"\n")
        return json.loads(connection.makefile().readline() or "null")


def claim_server(host: str, port: int, wait: float, *, old: str, new: str) -> dict[str, Any] | None:
    """Set the password. With a wrong old one the probe would wait for ever."""
    return {} if send(host, port, old, "password", new) == "done" else None


def flush(host: str, port: int, wait: float, *, password: str) -> dict[str, Any] | None:
    return {} if send(host, port, password, "flush") == "done" else None


def serve(port: int, data: Path, status: int) -> None:
    file = data / "all.json"
    values: dict[str, str] = json.loads(file.read_text()) if file.exists() else {"password": ""}

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            password, command, *arguments = json.loads(self.rfile.readline())
            reply: str | None = "done"
            if password != values["password"]:
                reply = "wrong password"
            elif command == "password":
                values["password"] = arguments[0]
            elif command == "flush":
                values["settled"] = "yes"
            elif command == "put":
                values[arguments[0]] = arguments[1]
            else:
                reply = values.get(arguments[0])
            self.wfile.write(json.dumps(reply).encode() + b"\n")

    def end(*_: object) -> None:
        file.write_text(json.dumps(values))
        if status >= 0:
            os._exit(status)
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)

    signal.signal(signal.SIGTERM, end)
    socketserver.TCPServer.allow_reuse_address = True
    with socketserver.TCPServer(("127.0.0.1", port), Handler) as server:
        server.serve_forever(poll_interval=0.01)


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
