"""Probes use the service's own protocol, and another program on the port is never taken for the service."""

import http.server
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servicectx import ServiceDied, StartFailed, StartTimeout, managed
from servicectx.keeper import ports, probes
from servicectx.services import registry
from servicectx.testing import FakeOptions, FakeService
from tests.actor import use
from tests.detector import wait_for

HOST = "127.0.0.1"


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: clients may close the connection at any time."""


@contextmanager
def serving(handler: Any, port: int = 0) -> Iterator[int]:
    with Server((HOST, port), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running.server_address[1]
        running.shutdown()
        thread.join()


class Parrot(socketserver.StreamRequestHandler):
    """Sends back each line that it receives."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


class Mute(socketserver.BaseRequestHandler):
    """Accepts connections and sends nothing."""

    def handle(self) -> None:
        self.request.recv(1)
        self.request.recv(1000)


class Website(http.server.BaseHTTPRequestHandler):
    """Answers /200 with 200, and so on."""

    def do_GET(self) -> None:
        status = int(self.path.strip("/"))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/200")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def free_port() -> int:
    return ports.pick(HOST)[0]


def test_tcp_wants_somebody_who_listens(free_port: int) -> None:
    assert probes.run_probe({"kind": "tcp"}, HOST, free_port) is None
    with serving(Mute) as port:
        assert probes.run_probe({"kind": "tcp"}, HOST, port) == {}


def test_another_port_can_be_asked(free_port: int) -> None:
    with serving(Mute) as port:
        assert probes.run_probe({"kind": "tcp", "port": str(port)}, HOST, free_port) == {}
        assert probes.run_probe({"kind": "tcp", "port": str(free_port)}, HOST, port) is None


def test_an_exchange_wants_its_answer_and_learns_from_it() -> None:
    with serving(Parrot) as port:
        probe = {"kind": "exchange", "send": "version 1.2\n", "expect": r"^version (?P<version>[\d.]+)\n"}
        assert probes.run_probe(probe, HOST, port) == {"version": "1.2"}
        assert probes.run_probe({**probe, "expect": "something else"}, HOST, port, wait=0.2) is None


def test_an_exchange_does_not_wait_for_the_mute_for_ever() -> None:
    with serving(Mute) as port:
        assert probes.run_probe({"kind": "exchange", "send": "hello\n", "expect": "x"}, HOST, port, wait=0.2) is None


@pytest.mark.parametrize(("status", "ready"), [(200, True), (204, True), (302, True), (404, False), (503, False)])
def test_http_wants_a_status_below_400(status: int, ready: bool) -> None:
    with serving(Website) as port:
        answer = probes.run_probe({"kind": "http", "url": f"http://{HOST}:{port}/{status}"}, HOST, port)
        assert (answer is not None) == ready


def test_http_takes_no_other_protocol_for_an_answer() -> None:
    with serving(Parrot) as port:
        assert probes.run_probe({"kind": "http", "url": f"http://{HOST}:{port}/"}, HOST, port, wait=0.3) is None


def test_http_heeds_no_proxy(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setenv("http_proxy", f"http://{HOST}:{free_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(Website) as port:
        assert probes.run_probe({"kind": "http", "url": f"http://{HOST}:{port}/200"}, HOST, port) == {}


def test_a_log_wants_its_line(tmp_path: Path, free_port: int) -> None:
    log = tmp_path / "log"
    probe = {"kind": "log", "pattern": r"^ready on (?P<place>\w+)$"}
    assert probes.run_probe(probe, HOST, free_port, str(log)) is None
    log.write_bytes(b"\xff not ready on air\n")
    assert probes.run_probe(probe, HOST, free_port, str(log)) is None
    log.write_text("first\nready on air\nlast\n")
    assert probes.run_probe(probe, HOST, free_port, str(log)) == {"place": "air"}
    assert probes.run_probe(probe, HOST, free_port, str(log), log_start=log.stat().st_size) is None


def test_an_unknown_kind_is_an_error(free_port: int) -> None:
    with pytest.raises(ValueError, match="unknown kind of probe: 'smoke'"):
        probes.run_probe({"kind": "smoke"}, HOST, free_port)


def test_ports_are_known_by_their_owner(free_port: int) -> None:
    assert not ports.listening(free_port)
    assert ports.is_free(HOST, free_port)
    script = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        assert not ports.is_free(HOST, port)
        assert ports.listening(port)
        assert ports.belongs_to(other.pid, port)
        assert ports.belongs_to(other.pid, free_port) is False
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
            assert ports.belongs_to(stranger.pid, port) is False
        other.communicate("")


# -- a thief on the port - ---------------------------------------------------------------------------------------


class YesMan(socketserver.BaseRequestHandler):
    """Sends the good answers of all protocols at once, for any request."""

    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"HTTP/1.0 200 OK\r\n\r\n+OK\r\n+PONG\r\nvalkey_version:9.9.9\r\n$\r\nPONG\nN")


class HangUp(socketserver.BaseRequestHandler):
    """Closes each connection at once."""


class Thief:
    """Takes the port that a server is about to bind, and answers there in its place.

    The server writes its port to the file `port`, and continues once there is a file `taken`.
    """

    def __init__(self, handler: Any, place: Path) -> None:
        self.handler = handler
        self.place = place
        place.mkdir()
        place.chmod(0o777)
        self.port = 0
        self._thread = threading.Thread(target=self._steal)
        self._over = threading.Event()

    def _steal(self) -> None:
        while not (self.place / "port").exists():
            if self._over.wait(0.005):
                return
        self.port = int((self.place / "port").read_text())
        with serving(self.handler, port=self.port):
            (self.place / "taken").touch()
            self._over.wait()

    def __enter__(self) -> "Thief":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


ROBBERY = """
place = config["label"]
if not os.path.exists(place + "/taken"):
    with open(place + "/port.new", "w") as file:
        file.write(str(config["port"]))
    os.rename(place + "/port.new", place + "/port")
    while not os.path.exists(place + "/taken"):
        time.sleep(0.005)
    time.sleep(3600 * config["never_listen"])
config["never_listen"] = False
"""


class Robbed(FakeService):
    """Waits for the thief before it binds its port. `never_listen`: it never binds, and keeps running."""

    def plan(self, options: FakeOptions, program: str, secret: str) -> Any:
        plan = super().plan(options, program, secret)
        return plan._replace(
            command=[part.replace("\nwhile config", f"\n{ROBBERY}\nwhile config") for part in plan.command]
        )


class RobbedAndTrusting(Robbed):
    """Only checks that a process listens on the port."""

    def plan(self, options: FakeOptions, program: str, secret: str) -> Any:
        return super().plan(options, program, secret)._replace(ready={"kind": "tcp"})


class RobbedOfItsPage(Robbed):
    """Its probe expects any PONG, without the proof of the password."""

    def plan(self, options: FakeOptions, program: str, secret: str) -> Any:
        plan = super().plan(options, program, secret)
        return plan._replace(ready={"kind": "exchange", "send": "PING\n", "expect": "PONG"})


@pytest.mark.parametrize("handler", [YesMan, Mute])
@pytest.mark.parametrize("notices", [True, False], ids=["server-ends", "server-stays"])
@pytest.mark.parametrize("service", [Robbed, RobbedAndTrusting, RobbedOfItsPage])
def test_a_thief_is_never_taken_for_the_service(
    service: type[FakeService], notices: bool, handler: Any, tmp_path: Path
) -> None:
    with (
        Thief(handler, tmp_path / "thief") as thief,
        managed(service, label=str(tmp_path / "thief"), never_listen=not notices) as fake,
    ):
        assert fake.port != thief.port
        assert fake.ask("SET a 1") == "1"
        assert not ports.is_free(HOST, thief.port)


REAL_ROBBERY = """#!/bin/sh
place={place}
for conf in "$@"; do :; done
conf=${{conf#config_file=}}
if [ ! -e $place/taken ]; then
    sed -n 's/^port[ =]*//p' "$conf" > $place/port.new
    mv $place/port.new $place/port
    while [ ! -e $place/taken ]; do sleep 0.01; done
fi
exec {real} "$@"
"""


@pytest.mark.parametrize("handler", [YesMan, HangUp])
@pytest.mark.parametrize("service", ["redis", "postgres"])
def test_a_real_server_that_lost_its_port_gets_another(
    service: str, handler: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = registry.find(service)
    real = Path(found.program(found.options({})))
    with tempfile.TemporaryDirectory(dir=home.parent) as name:
        place = Path(name)
        place.chmod(0o755)
        for other in ("initdb", "psql"):
            (place / other).symlink_to(real.with_name(other))
        with Thief(handler, place / "thief") as thief:
            (place / real.name).write_text(REAL_ROBBERY.format(place=place / "thief", real=real))
            (place / real.name).chmod(0o755)
            monkeypatch.setenv(f"SERVICECTX_{service.upper()}_BIN", str(place))
            with managed(service) as details:
                assert details.port != thief.port
                assert use(details) == "42"


def test_a_server_that_finds_every_port_taken_says_so() -> None:
    class Unlucky(FakeService):
        """Its picked port is always taken."""

        def plan(self, options: FakeOptions, program: str, secret: str) -> Any:
            plan = super().plan(options, program, secret)
            lost = "print('Address already in use'); sys.exit(1)\nvalues = "
            return plan._replace(command=[part.replace("values = ", lost) for part in plan.command])

    with pytest.raises(StartFailed, match="8 ports were picked, and each was taken by another program"):
        managed(Unlucky).__enter__()


def test_a_server_on_the_wrong_port_is_not_usable() -> None:
    class Elsewhere(FakeService):
        def plan(self, options: FakeOptions, program: str, secret: str) -> Any:
            plan = super().plan(options, program, secret)
            return plan._replace(command=[part.replace('config["port"])', "0)") for part in plan.command])

    with pytest.raises(StartTimeout, match="it did not answer its own protocol"):
        managed(Elsewhere, timeout=1.0).__enter__()


def test_a_thief_after_the_death_is_not_joined() -> None:
    lease = managed(FakeService, ignore_sigterm=True)
    with lease as fake:
        assert fake.ask("EXIT 1") == ""
        wait_for(lambda: ports.is_free(HOST, fake.port), 5)
        with serving(YesMan, port=fake.port), managed(FakeService, ignore_sigterm=True) as fresh:
            assert fresh.port != fake.port
            assert fresh.ask("GET a") == ""
            assert not lease.alive
            assert isinstance(lease.failure, ServiceDied)
