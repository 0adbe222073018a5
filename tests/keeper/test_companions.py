"""Companions, programs that a server needs: started before it, ended after it, never taken for another program."""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from servicectx import Plan, Service, ServiceDetails, StartFailed, managed
from servicectx.services.base import Ports, environment
from servicectx.services.plan import Companion
from servicectx.system import platform
from servicectx.testing import FakeService
from tests import servers
from tests.cli.command import cli

LISTEN = "import socket, sys, time; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); time.sleep(600)"


class Pair(Service[ServiceDetails]):
    """A program that listens, and a companion that starts first, on its own port."""

    name = "pair"
    Details = ServiceDetails
    server = LISTEN
    companion = LISTEN

    def program(self, options: Any) -> str:
        return sys.executable

    def plan(self, options: Any, program: str, secret: str) -> Plan:
        note = f"open('{{dir}}/ports', 'w').write('{{port}} {{port_side}}'); {self.server}"
        return Plan(
            service=self.name,
            command=[program, "-c", note, "{host}", "{port}"],
            environment=environment(),
            ready={"kind": "tcp"},
            ports=Ports(["side"]),
            companions=[
                Companion(
                    [program, "-c", self.companion, "{host}", "{port_side}"], {"kind": "tcp", "port": "{port_side}"}
                )
            ],
        )


@pytest.fixture
def pair() -> Pair:
    return Pair()


def side(home: Path) -> psutil.Process:
    (place,) = home.rglob("ports")
    return servers.owner(int(place.read_text().split()[1]))


def test_it_runs_beside_the_server_and_ends_with_it(pair: Pair, home: Path) -> None:
    with managed(pair) as details:
        beside = side(home)
        assert beside.ppid() == servers.owner(details.port).ppid()
        assert beside.create_time() <= servers.owner(details.port).create_time()
    assert not beside.is_running()


def test_it_ends_with_a_killed_keeper(pair: Pair, home: Path) -> None:
    with managed(pair) as details:
        beside, server = side(home), servers.owner(details.port)
        os.kill(beside.ppid(), signal.SIGKILL)
        assert psutil.wait_procs([beside, server], timeout=10)[1] == []


@pytest.mark.parametrize("finder", ["a visitor", "prune"])
def test_a_detached_one_ends_after_a_kill_of_keeper_and_watchdog(pair: Pair, home: Path, finder: str) -> None:
    """No signal of the kernel reaches it: it leads a session of its own, below a process that was killed."""
    pair.companion = f"import os, time\nif os.fork(): time.sleep(600)\nos.setsid()\n{LISTEN}"
    with managed(pair, linger=3600) as details:
        beside, server = side(home), servers.owner(details.port)
        keeper = server.parent()
        assert keeper is not None
        watchdog = keeper.parent()
        assert watchdog is not None
    (port,) = [each.laddr.port for each in beside.net_connections() if each.status == psutil.CONN_LISTEN]
    for process in (watchdog, keeper):
        process.kill()
    if platform.PARENT_DEATH_SIGNAL:  # the kernel ends the server with its keeper
        assert psutil.wait_procs([server], timeout=60)[1] == []
    assert beside.is_running()
    if finder == "prune":
        assert cli("prune", "--yes", cwd=home).returncode == 0
    else:
        with managed(FakeService):
            pass
    assert psutil.wait_procs([beside, server], timeout=60)[1] == []
    socket.create_server(("127.0.0.1", port)).close()


def test_a_server_that_fails_is_not_taken_for_one_that_lost_a_port(pair: Pair) -> None:
    """The companion of the server listens on a picked port, as planned."""
    pair.server = "import sys; sys.exit('it broke')"
    with pytest.raises(StartFailed) as caught, managed(pair):
        pass
    assert caught.value.exit_status == 1
    assert caught.value.log_tail == "it broke"


def test_a_companion_that_fails_later_does_too(pair: Pair) -> None:
    pair.server = "import time; time.sleep(600)"
    pair.companion = (
        "import socket, sys; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); s.accept(); s.close();"
        "sys.exit('no company')"
    )
    with pytest.raises(StartFailed) as caught, managed(pair):
        pass
    assert caught.value.exit_status == 1
    assert "no company" in str(caught.value.log_tail)


def test_a_companion_that_fails_fails_the_start(pair: Pair) -> None:
    pair.companion = "import sys; sys.exit('no company')"
    with pytest.raises(StartFailed) as caught, managed(pair):
        pass
    assert caught.value.exit_status == 1
    assert caught.value.log_tail == "no company"
    assert "no company" in str(caught.value.command)
