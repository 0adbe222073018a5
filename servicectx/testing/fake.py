"""A fake service that starts in an instant, with faults on request."""

import hashlib
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from servicectx import Plan, Service
from servicectx.services import binaries
from servicectx.services.base import Stop, environment
from servicectx.services.details import ServiceDetails

_SERVER = """
import hashlib, json, os, signal, socketserver, subprocess, sys, time

with open(sys.argv[1]) as file:
    config = json.load(file)
if config["ignore_sigterm"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if config["orphan"]:
    subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"], start_new_session=True)
for _ in range(config["chatty"]):
    print("x" * 1023)
print("fake service, process", os.getpid(), flush=True)
time.sleep(config["delay"])
if config["fail"] is not None:
    print("failing, as configured", file=sys.stderr, flush=True)
    sys.exit(config["fail"])
while config["never_listen"]:
    time.sleep(3600)
values = dict()
if os.path.exists(config["file"]):
    with open(config["file"]) as file:
        values.update(json.load(file))

def store():
    try:
        with open(config["file"] + ".tmp", "w") as file:
            json.dump(values, file)
        os.rename(config["file"] + ".tmp", config["file"])
    except OSError:  # a full disk: the values in memory are still served
        pass

class Client(socketserver.StreamRequestHandler):
    def handle(self):
        authenticated = False
        for line in self.rfile:
            command, _, rest = line.decode().strip().partition(" ")
            authenticated = authenticated or (command == "AUTH" and rest == config["password"])
            name, _, value = rest.partition(" ")
            if command == "PING":
                answer = "PONG " + hashlib.sha256(config["password"].encode()).hexdigest()
            elif not authenticated:
                answer = "DENIED"
            elif command == "SET":
                answer = values[name] = value
                store()
            elif command == "GET":
                answer = values.get(name, "")
            elif command == "SAY":
                print(rest, flush=True)
                answer = "SAID"
            elif command == "EXIT":
                os._exit(int(rest))
            else:
                answer = "WELCOME"
            self.wfile.write(answer.encode() + b"\\n")

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

Server((config["host"], config["port"]), Client).serve_forever()
"""


class FakeDetails(ServiceDetails):
    """Connection details of a fake service. The server needs the password for everything but PING."""

    password: str = ""

    @property
    def url(self) -> str:
        return f"fake://:{self.password}@{self.host}:{self.port}"

    def env(self) -> dict[str, str]:
        return {"FAKE_URL": self.url}

    def ask(self, line: str, wait: float = 5.0) -> str:
        """Send `SET name value`, `GET name`, `SAY text` (into the log), `PING` or `EXIT status`; the server's answer.

        The answer is empty when the server closes the connection. Raises PermissionError for a wrong password, and
        OSError when the server cannot be reached within `wait` seconds.
        """
        with (
            socket.create_connection((self.host, self.port), wait) as connection,
            connection.makefile("rw", encoding="utf-8", newline="\n") as stream,
        ):
            stream.write(f"AUTH {self.password}\n{line}\n")
            stream.flush()
            if stream.readline().strip() == "DENIED":
                raise PermissionError(f"wrong password in {self!r}")
            return stream.readline().strip()


@dataclass(frozen=True, kw_only=True)
class FakeOptions:
    """Faults of the fake server.

    `delay`: seconds before the server listens. `fail`: exit status, instead of listening. `never_listen`: the server
    runs and does nothing. `chatty`: kB that the server prints first. `ignore_sigterm`: only SIGKILL, sent `grace`
    seconds later, ends the server. `orphan`: the server leaves a process in a session of its own. `label`: without
    effect; another label, another instance.
    """

    delay: float = 0.0
    fail: int | None = None
    never_listen: bool = False
    chatty: int = 0
    ignore_sigterm: bool = False
    orphan: bool = False
    grace: float = 5.0
    label: str = ""


class FakeService(Service[FakeDetails]):
    """A small and quick server process that stores texts by name in a file: `managed(FakeService, delay=1.0)`.

    Set-up files hold lines for `FakeDetails.ask`.
    """

    name: ClassVar[str] = "fake"
    Options: ClassVar[type] = FakeOptions
    Details: ClassVar[Any] = FakeDetails
    install: ClassVar[dict[str, str]] = {"pip": "pip install servicectx"}

    def program(self, options: FakeOptions) -> str:
        if "SERVICECTX_FAKE_BIN" not in os.environ:
            return sys.executable
        install = tuple(self.install.items())
        return binaries.find(binaries.Search(service=self.name, programs=("python3",), install=install))

    def plan(self, options: FakeOptions, program: str, secret: str) -> Plan:
        config = {**vars(options), "password": secret, "host": "{host}", "port": "PORT", "file": "{data}/values.json"}
        proof = hashlib.sha256(secret.encode()).hexdigest()
        probe = {"kind": "exchange", "send": "PING\n", "expect": f"^PONG {proof}\n"}
        return Plan(
            service=self.name,
            command=[program, "-I", "-S", "-c", _SERVER, "{dir}/fake.json"],
            environment=environment(),
            files={"fake.json": json.dumps(config).replace('"PORT"', "{port}")},
            ready=probe,
            ping=probe,
            stop=Stop(int(signal.SIGTERM), options.grace),
        )

    def details(self, options: FakeOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"password": secret}

    def run_files(self, details: FakeDetails, files: list[Path], program: str) -> None:
        for file in files:
            for line in file.read_text().splitlines():
                details.ask(line)
