"""For tests: a fake service that starts in an instant and misbehaves when told to, and checks for services of your own.

Nothing here needs a test framework; a check that fails raises AssertionError.
"""

import contextlib
import hashlib
import json
import os
import pickle
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from servicectx import BinaryNotFound, InvalidOption, Plan, Service, managed
from servicectx.details.base import ServiceDetails
from servicectx.services import binaries, registry
from servicectx.services.base import environment

__all__ = ["FakeDetails", "FakeOptions", "FakeService", "check_service"]

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
    """A real server process, small and quick, that keeps texts by name in memory: `managed(FakeService, delay=1.0)`.

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
        told = {**vars(options), "password": secret, "host": "{host}", "port": "PORT"}
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


def check_service(
    service: str | Service[Any] | type[Service[Any]], *, binary: bool = True, timeout: float = 60.0, **options: Any
) -> None:
    """Start `service` and see that it keeps the promises that users of any service rely on.

    It runs in a home of its own, and changes the environment of this process meanwhile, so run no threads that read it.

    Args:
        service: a registered name, or a `Service` class or instance.
        binary: whether its program honours `SERVICECTX_<SERVICE>_BIN`; False for one that needs no server program.
        timeout: seconds for each start.
        options: those it is started with.

    Raises:
        AssertionError: it breaks a promise, which the message names.
        Whatever `managed()` raises, when it does not start.
    """
    found = registry.find(service)
    with tempfile.TemporaryDirectory(prefix="sccheck-") as place:
        home = Path(place)
        home.chmod(0o711)  # a server's own account must get through
        with _variable("SERVICECTX_HOME", place):
            _check_errors(found, binary, options)
            first = managed(found, name="first", scope="check", timeout=timeout, **options)
            second = managed(found, name="second", scope="check", timeout=timeout, **options)
            with first as details:
                _check_details(found, details, home)
                _check_privacy(details, home)
                with managed(found, name="first", scope="check", timeout=timeout, **options) as joined:
                    _demand(joined == details, f"who joins gets the same details, not {joined!r} and {details!r}")
                _demand(first.alive, "it still answers after one of two users has left")
                with second as other:
                    _demand(other.port != details.port, "two instances run side by side, on a port each")
            _check_nothing_left([details, other], home)


def _check_errors(service: Service[Any], binary: bool, options: dict[str, Any]) -> None:
    try:
        managed(service, **options, no_such_option=1)
    except InvalidOption as error:
        _demand(error.option == "no_such_option", f"the error names the unknown option: {error}")
    else:
        _demand(False, "an unknown option raises InvalidOption")
    if not binary:
        return
    with tempfile.TemporaryDirectory() as empty, _variable(f"SERVICECTX_{service.name.upper()}_BIN", empty):
        try:
            service.program(service.options(options))
        except BinaryNotFound as error:
            _demand(any(empty in place for place in error.looked), f"the error says where it looked: {error}")
            _demand(error.install, f"the error says how to install the program: {error}")
        else:
            _demand(False, f"with {empty}, an empty directory, as its place for binaries, BinaryNotFound is raised")


def _check_details(service: Service[Any], details: Any, home: Path) -> None:
    model = service.details_model()
    _demand(type(details) is model, f"the details are {model.__name__}, not {type(details).__name__}")
    _demand((details.service, details.name) == (service.name, "first"), f"{details!r} says which service it is")
    _demand(details.external is False, "details of a service that was started are not external")
    _demand(pickle.loads(pickle.dumps(details)) == details, "the details survive pickling")
    written = details.write(home / "details.json")
    _demand(stat.S_IMODE(written.stat().st_mode) == 0o600, "the details file is for its owner alone")
    _demand(model.read(written) == details, "the details survive being written and read")
    written.unlink()
    for name, value in details.env().items():
        _demand(isinstance(name, str) and isinstance(value, str), f"env() holds texts: {name} = {value!r}")
    _demand(str(details.port) in details.url, "url says the port")
    for secret in _secrets(details):
        _demand(secret not in f"{details!r} {details}", "no secret shows in repr() or str()")


def _check_privacy(details: Any, home: Path) -> None:
    import psutil

    _demand(details.host in ("127.0.0.1", "::1", "localhost"), f"it is reached through loopback, not {details.host}")
    secrets = _secrets(details)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            _demand(not any(secret in word for secret in secrets for word in words), f"no secret in {words[:3]} ...")
    for process in _processes(home):
        with contextlib.suppress(psutil.Error):
            for each in process.net_connections("inet"):
                if each.status == psutil.CONN_LISTEN:
                    _demand(each.laddr.ip in ("127.0.0.1", "::1"), f"it listens on loopback only, not on {each.laddr}")
    for path in home.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077 and path.stat().st_size < 1 << 20:
            told = path.read_bytes()
            _demand(not any(secret.encode() in told for secret in secrets), f"{path} holds a secret and others read it")


def _check_nothing_left(instances: list[Any], home: Path) -> None:
    left = [str(process) for process in _processes(home)]
    _demand(not left, f"no process is left: {left}")
    files = [str(path) for path in home.rglob("*") if path != home / "data"]
    _demand(not files, f"no file is left: {files}")
    for details in instances:
        with socket.socket() as probe:
            _demand(probe.connect_ex((details.host, details.port)) != 0, f"port {details.port} is left")


def _processes(home: Path) -> list[Any]:
    """Whoever works in `home` or was told of it, and all below them."""
    import psutil

    found: dict[int, Any] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            told = [process.cwd(), *process.cmdline()]
            if process.pid != os.getpid() and any(str(home) in text for text in told):
                found |= {each.pid: each for each in [process, *process.children(recursive=True)]}
    return list(found.values())


def _secrets(details: Any) -> list[str]:
    names = details.secrets | ServiceDetails.secrets
    return [value for name in names if (value := getattr(details, name, None))]


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _demand(kept: object, promise: str) -> None:
    if not kept:
        raise AssertionError(f"broken: {promise}")
