"""Ports that the caller chooses: exactly these are used, and the error for a port in use names its owner."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from servicectx import InvalidOption, Plan, PortInUse, StartFailed, isolated, managed
from servicectx.services.plan import Ports
from servicectx.testing import FakeDetails, FakeOptions, FakeService
from tests import leftovers, ordinary, servers

HOST = "127.0.0.1"


@pytest.fixture
def port() -> int:
    return servers.free_port()


class TwoPortsDetails(FakeDetails):
    admin: int = 0


class TwoPorts(FakeService):
    """A service with a further port."""

    name = "twoports"
    Details = TwoPortsDetails

    def plan(self, options: FakeOptions, program: str, secret: str) -> Plan:
        return super().plan(options, program, secret)._replace(ports=Ports(extra=["admin"]))

    def details(self, options: FakeOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"password": secret, "admin": facts["port_admin"]}


def admin(details: FakeDetails) -> int:
    assert isinstance(details, TwoPortsDetails)
    return details.admin


class Neighbours(FakeService):
    """A service that takes the port after its own, too."""

    name = "neighbours"

    def plan(self, options: FakeOptions, program: str, secret: str) -> Plan:
        return super().plan(options, program, secret)._replace(ports=Ports(consecutive=1))


def test_the_service_has_exactly_this_port(port: int) -> None:
    with managed(FakeService, port=port) as details:
        assert details.port == port
        assert details.ask("PING").startswith("PONG")
        with managed(FakeService, port=port) as joined:
            assert joined == details
    with managed(FakeService, port=port) as again:  # a port is free again at once
        assert again.port == port
    assert not servers.listeners(port)


def test_ports_are_part_of_the_key(port: int) -> None:
    keys = [
        managed(TwoPorts, **arguments).key
        for arguments in ({}, {"port": port}, {"port": port + 1}, {"ports": {"admin": port}})
    ]
    assert len(set(keys)) == 4
    assert managed(TwoPorts, port=port, ports={}).key == keys[1]


def test_further_ports_are_chosen_by_name() -> None:
    first, second = servers.free_ports(2)
    with managed(TwoPorts, ports={"admin": first}) as details:
        assert admin(details) == first
        assert details.port != first
    with managed(TwoPorts, port=second, ports={"admin": first}) as details:
        assert (details.port, admin(details)) == (second, first)
    with managed(TwoPorts, port=second) as details:
        assert details.port == second
        assert admin(details) != second


@pytest.mark.parametrize("value", [0, -1, 65536, True, 1.5, "http", "", [5432]])
def test_what_is_not_a_port_is_refused_at_the_call(value: Any) -> None:
    for arguments, option in (({"port": value}, "port"), ({"ports": {"admin": value}}, "ports")):
        with pytest.raises(InvalidOption, match="is not a port: use a number from 1 to 65535") as caught:
            managed(TwoPorts, **arguments)
        assert (caught.value.option, caught.value.known) == (option, None)


def test_ports_are_a_mapping() -> None:
    with pytest.raises(InvalidOption, match="does not map names to ports"):
        managed(TwoPorts, ports=5432)


@pytest.mark.parametrize(
    ("service", "arguments", "problem"),
    [
        (TwoPorts, {"ports": {"amdin": 1}}, "'amdin' is not a port of twoports; its further ports are: admin"),
        (FakeService, {"ports": {"admin": 1}}, "'admin' is not a port of fake; it has no further ports, only port="),
        (TwoPorts, {"ports": {"port": 1}}, "'port' is not the name of a further port; give port=NUMBER"),
        (TwoPorts, {"port": 7777, "ports": {"admin": 7777}}, "7777 is chosen for two ports"),
        (Neighbours, {"port": 65535}, "the service also takes the 1 ports after it: use at most 65534"),
    ],
)
def test_ports_that_the_service_does_not_have(
    service: Any, arguments: dict[str, Any], problem: str, home: Path
) -> None:
    with pytest.raises(InvalidOption) as caught, managed(service, **arguments):
        pass
    assert caught.value.problem == problem
    assert leftovers.files(home) == []


def test_a_port_of_another_program_is_named_at_once(port: int, home: Path) -> None:
    script = f"import socket; s = socket.create_server(({HOST!r}, {port})); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "my-server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(PortInUse) as caught, managed(FakeService, name="orders", port=port):
            pass
        other.communicate("\n")
    error = caught.value
    assert (error.port, error.pid, error.instance, error.service, error.name) == (
        *(port, other.pid, None),
        *("fake", "orders"),
    )
    assert str(error.owner).endswith("my-server")
    assert f"the chosen port {port} is in use by process {other.pid} ({error.owner})" in str(error)
    assert "end that process, or choose another port" in str(error)
    assert isinstance(error, StartFailed)
    assert leftovers.files(home) == []


def test_another_program_on_a_further_port_is_named_at_once() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = int(taken.getsockname()[1])
        with pytest.raises(PortInUse) as caught, managed(TwoPorts, ports={"admin": port}):
            pass
    assert (caught.value.port, caught.value.pid) == (port, os.getpid())
    assert f"the chosen port {port} is in use by process {os.getpid()} (" in str(caught.value)


def test_an_instance_on_the_port_is_named_with_the_command_that_stops_it(port: int) -> None:
    with managed(FakeService, name="orders", port=port) as first:
        with pytest.raises(PortInUse) as caught, managed(FakeService, name="orders", port=port, delay=0.001):
            pass
        error = caught.value
        assert error.pid == servers.owner(first.port).pid
        assert "it is" not in str(error)
        assert ": the instance 'orders' (fake) of the project " in str(error)
        users = (
            rf"\nend process {os.getpid()} \(.+\), or stop it despite its users with `servicectx down --force orders`"
        )
        assert re.search(f"{users}, or choose another port", str(error)), str(error)
        assert error.instance == managed(FakeService, name="orders", port=port).key
        with pytest.raises(PortInUse) as caught, managed(FakeService, scope="user", port=port):
            pass
        assert f"`servicectx down --force {error.instance}`" in str(caught.value)


def test_the_port_after_the_chosen_one_is_checked_too() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        second = int(taken.getsockname()[1])
        with pytest.raises(PortInUse) as caught, managed(Neighbours, port=second - 1):
            pass
    assert caught.value.pid == os.getpid()
    assert caught.value.port in (second, second - 1)


def test_the_end_of_a_connection_has_a_port_too() -> None:
    with socket.create_server((HOST, 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = int(client.getsockname()[1])
        with pytest.raises(PortInUse) as caught, managed(FakeService, port=port):
            pass
    assert caught.value.pid == os.getpid()


# Tells a thief the port, and binds it once the thief has it.
LATE = """
import os, socket, sys, time
place, port = sys.argv[1:]
with open(place + "/port.new", "w") as file:
    file.write(port)
os.rename(place + "/port.new", place + "/port")
while not os.path.exists(place + "/taken"):
    time.sleep(0.005)
socket.create_server(("127.0.0.1", int(port)))
"""


class LateThief:
    """Takes the port as soon as the server has written it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._ended = threading.Event()
        self._socket = socket.socket()
        self._thread = threading.Thread(target=self._steal)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _steal(self) -> None:
        while not (self._place / "port").exists():
            if self._ended.wait(0.005):
                return
        self._socket.bind((HOST, int((self._place / "port").read_text())))
        self._socket.listen()
        (self._place / "taken").touch()


@pytest.mark.parametrize("ready", ["tcp", "log:never"])
def test_a_port_lost_after_the_check_is_final(port: int, tmp_path: Path, ready: str) -> None:
    command = [sys.executable, "-c", LATE, str(tmp_path), "{port}"]
    with LateThief(tmp_path), pytest.raises(PortInUse) as caught:
        managed("command", command=command, ready=ready, port=port).__enter__()
    assert (caught.value.port, caught.value.pid) == (port, os.getpid())
    assert str(tmp_path) in str(caught.value.command)
    assert str(caught.value.log_tail).count("Address already in use") <= 1  # one try


def test_a_free_port_below_1024_needs_a_privilege() -> None:
    with contextlib.ExitStack() as tries:
        first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        port = next(
            number for number in range(1023, 0, -1) if tries.enter_context(socket.socket()).connect_ex((HOST, number))
        )
    if os.geteuid() == 0 or port >= first:
        with managed(FakeService, port=port) as details:
            assert details.port == port
    with ordinary.user() as user:
        script = f"from servicectx import managed\nwith managed('redis', port={port}) as redis: print(redis.port)"
        done = user.run(script)
    if port >= first:
        assert done.stdout == f"{port}\n"
    else:
        assert f"the chosen port {port} is reserved for root: ports below {first} need a privilege" in done.stderr
        assert f"sysctl net.ipv4.ip_unprivileged_port_start={port}" in done.stderr


def test_a_server_of_another_account_cannot_have_a_port_below_1024() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if os.geteuid() == 0 and first > 1:
        with pytest.raises(StartFailed, match="the server runs as postgres, and the chosen port 1 is reserved"):
            managed("postgres", port=1).__enter__()


def test_a_process_that_cannot_be_seen_is_not_named() -> None:
    if os.geteuid() == 0:
        with socket.create_server((HOST, 0)) as server, ordinary.user() as user:
            port = server.getsockname()[1]
            done = user.run(f"from servicectx import managed\nmanaged('redis', port={port}).__enter__()")
        assert f"the chosen port {port} is in use by a process that this user cannot see" in done.stderr
        assert f"find it as root: ss -tanp 'sport = :{port}'" in done.stderr


def test_a_snapshot_restart_keeps_the_port(port: int, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("create table a (n int)")
    for _ in range(2):
        with managed("postgres", port=port, setup=tmp_path / "a.sql", snapshot=True) as pg:
            assert pg.port == port
            with isolated(pg) as mine:
                assert mine.port == port


# -- files and command lines -------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_project_s_file_names_ports(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.servicectx.mq]\nservice = "rabbitmq"\nport = 5672\nports = {management = 15672}\n'
    )
    written = managed("rabbitmq", name="mq", port=5672, ports={"management": 15672})
    assert managed("mq").key == written.key
    other = managed("rabbitmq", name="mq", port=5673, ports={"management": 15672, "distribution": 4000})
    assert managed("mq", port=5673, ports={"distribution": 4000}).key == other.key
    (project / "setup.cfg").write_text("[servicectx]\nold =\n    service = rabbitmq\n    ports.management = 15672\n")
    assert managed("old").key == managed("rabbitmq", name="old", ports={"management": 15672}).key


@pytest.mark.parametrize(("field", "value"), [("port", '"http"'), ("port", "0"), ("ports", "{management = 0}")])
def test_a_wrong_port_in_the_project_s_file_names_the_file(project: Path, field: str, value: str) -> None:
    from servicectx import ConfigError

    (project / "pyproject.toml").write_text(f'[tool.servicectx]\nmq = {{service = "rabbitmq", {field} = {value}}}\n')
    with pytest.raises(ConfigError, match=f"mq.{field}: .* is not a port") as caught:
        managed("mq")
    assert caught.value.path == str(project / "pyproject.toml")


def test_a_command_line_names_ports(port: int) -> None:
    from servicectx.cli.selection import members

    (member,) = members(("rabbitmq",), (), ("rabbitmq.port=5672", "rabbitmq.ports.management=15672"))
    assert member.managed.key == managed("rabbitmq", port=5672, ports={"management": 15672}).key
    command = [sys.executable, "-m", "servicectx", "run", "redis", "--set", f"redis.port={port}", "--", "env"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(rf"^REDIS_URL=redis://.*:{port}/0$", done.stdout, re.MULTILINE)
