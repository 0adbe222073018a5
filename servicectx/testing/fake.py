"""A fake service that starts in an instant and misbehaves when told to."""

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
from servicectx.services.base import environment
from servicectx.services.details import ServiceDetails

_SERVER = """
import hashlib, json, os, signal, socketserver, subprocess, sys, time

with open(sys.argv[1]) as file:
    told = json.load(file)
if told["ignore_sigterm"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if told["orphan"]:
    subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"], start_new_session=True)
for _ in range(told["chatty"]):
    print("x" * 1023)
print("fake service, process", os.getpid(), flush=True)
time.sleep(told["delay"])
if told["fail"] is not None:
    print("told to fail", file=sys.stderr, flush=True)
    sys.exit(told["fail"])
while told["never_listen"]:
    time.sleep(3600)
values = dict()
if os.path.exists(told["file"]):
    with open(told["file"]) as file:
        values.update(json.load(file))

def store():
    try:
        with open(told["file"] + ".tmp", "w") as file:
            json.dump(values, file)
        os.rename(told["file"] + ".tmp", told["file"])
    except OSError:  # a full disk: what is in memory is served all the same
        pass

class Client(socketserver.StreamRequestHandler):
    def handle(self):
        known = False
        for line in self.rfile:
            word, _, rest = line.decode().strip().partition(" ")
            known = known or (word == "AUTH" and rest == told["password"])
            name, _, value = rest.partition(" ")
            if word == "PING":
                answer = "PONG " + hashlib.sha256(told["password"].encode()).hexdigest()
            elif not known:
                answer = "DENIED"
            elif word == "SET":
                answer = values[name] = value
                store()
            elif word == "GET":
                answer = values.get(name, "")
            elif word == "SAY":
                print(rest, flush=True)
                answer = "SAID"
            elif word == "EXIT":
                os._exit(int(rest))
            else:
                answer = "WELCOME"
            self.wfile.write(answer.encode() + b"\\n")

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

Server((told["host"], told["port"]), Client).serve_forever()
"""


class FakeDetails(ServiceDetails):
    """How to reach a fake service. It wants its password before it does anything but PING."""

    password: str = ""

    @property
    def url(self) -> str:
        return f"fake://:{self.password}@{self.host}:{self.port}"

    def env(self) -> dict[str, str]:
        return {"FAKE_URL": self.url}

    def ask(self, line: str, wait: float = 5.0) -> str:
        """Its answer to `SET name value`, `GET name`, `SAY text` (into its log), `PING` or `EXIT status`.

        An empty text when it hangs up. Raises PermissionError when it does not know this password, and OSError when
        it cannot be reached within `wait` seconds.
        """
        with (
            socket.create_connection((self.host, self.port), wait) as connection,
            connection.makefile("rw", encoding="utf-8", newline="\n") as talk,
        ):
            talk.write(f"AUTH {self.password}\n{line}\n")
            talk.flush()
            if talk.readline().strip() == "DENIED":
                raise PermissionError(f"{self!r} does not know this password")
            return talk.readline().strip()


@dataclass(frozen=True, kw_only=True)
class FakeOptions:
    """How it misbehaves. `delay`: seconds before it listens. `fail`: the status it exits with instead of listening.

    `never_listen`: it runs and does nothing. `chatty`: kB that it prints first. `ignore_sigterm`: only SIGKILL, sent
    `grace` seconds later, ends it. `orphan`: it leaves a process in a session of its own. `label`: means nothing;
    another label, another instance.
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
    """A real server process, small and quick, that keeps texts by name in a file: `managed(FakeService, delay=1.0)`.

    Its set-up files hold lines for `FakeDetails.ask`.
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
        told = {**vars(options), "password": secret, "host": "{host}", "port": "PORT", "file": "{data}/values.json"}
        proof = hashlib.sha256(secret.encode()).hexdigest()
        probe = {"kind": "exchange", "send": "PING\n", "expect": f"^PONG {proof}\n"}
        return Plan(
            service=self.name,
            command=[program, "-I", "-S", "-c", _SERVER, "{dir}/fake.json"],
            environment=environment(),
            files={"fake.json": json.dumps(told).replace('"PORT"', "{port}")},
            ready=probe,
            ping=probe,
            stop_signal=int(signal.SIGTERM),
            grace=options.grace,
        )

    def details(self, options: FakeOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"password": secret}

    def run_files(self, details: FakeDetails, files: list[Path], program: str) -> None:
        for file in files:
            for line in file.read_text().splitlines():
                details.ask(line)
