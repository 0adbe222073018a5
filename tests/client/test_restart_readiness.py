"""`restart()` returns when the new server is usable: its readiness is probed anew."""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from servicectx import NotSupported, Plan, Service, ServiceDetails, ServiceDied, StartTimeout, managed
from servicectx.services.base import environment
from servicectx.services.command.details import CommandDetails
from servicectx.services.plan import SnapshotSupport
from servicectx.wire import http

SLOW = """
import socket, sys, time
print("first line", flush=True)
time.sleep(1)  # a server that takes a while, also after a restart
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening now", flush=True)
while True:
    listener.accept()[0].close()
"""


# -- the log -------------------------------------------------------------------------------------------------------


def test_the_log_of_an_earlier_run_does_not_make_a_server_ready(home: Path) -> None:
    service = managed("command", command=[sys.executable, "-c", SLOW, "{port}"], ready="log:listening now")
    with service as details:
        for _ in range(2):
            service.restart(empty=True)
            socket.create_connection((details.host, details.port)).close()
        assert service.logs().count("listening now") == 3


def test_vault_replaces_the_unseal_key_of_the_new_run(home: Path) -> None:
    service = managed("vault")
    with service as vault:
        for _ in range(2):
            service.restart(empty=True)
            header = {"X-Vault-Token": vault.token}
            assert http.ask(vault.host, vault.port, "GET", "/v1/secret/config", None, header).status == 200
            assert service.details is not None
            assert vault.unseal_key != service.details.unseal_key
            for key, status in ((vault.unseal_key, 400), (service.details.unseal_key, 200)):
                assert http.ask(vault.host, vault.port, "PUT", "/v1/sys/seal", None, header).status in (200, 204, 503)
                unsealed = http.ask(vault.host, vault.port, "PUT", "/v1/sys/unseal", {"key": key})
                assert unsealed.status == status
            with managed("vault") as joined:
                assert joined.unseal_key == service.details.unseal_key
                assert joined.token == vault.token
        assert service.alive


# -- unexpected errors of a probe ----------------------------------------------------------------------------------


class Probed(Service[ServiceDetails]):
    """A program that listens. Its probe raises in its second run; with `flush` that of its data raises, too."""

    name = "probed"
    Details = ServiceDetails
    flush = False

    def program(self, options: Any) -> str:
        return sys.executable

    def plan(self, options: Any, program: str, secret: str) -> Plan:
        listen = "import socket, sys; print('it runs', flush=True); "
        listen += "s = socket.create_server(('127.0.0.1', int(sys.argv[1])))"
        probe = {"kind": "call", "target": "tests.client.restart_probes:first_run_only", "place": "{data}/first"}
        flush = {"kind": "call", "target": "tests.client.restart_probes:refuse"} if self.flush else None
        return Plan(
            service=self.name,
            command=[program, "-c", f"{listen}\nwhile True: s.accept()", "{port}"],
            environment=environment(),
            ready=probe,
            snapshot=SnapshotSupport(signal.SIGTERM, flush=flush),
        )


def test_an_unexpected_error_of_a_probe_is_a_failure_with_its_reason(home: Path) -> None:
    service, other = managed(Probed), managed(Probed)
    with service, other:
        with pytest.raises(ServiceDied, match="when it was restarted: LookupError: no such thing here") as failed:
            service.restart()
        tail = failed.value.log_tail or ""
        assert "it runs" in tail
        assert "traceback of the keeper:" in tail
        assert isinstance(other.failure, ServiceDied)
        assert other.failure.reason == failed.value.reason


def test_an_unexpected_error_before_the_end_of_the_server_leaves_it_running(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probed, "flush", True)
    service = managed(Probed)
    with service:
        before = service.pid
        with pytest.raises(NotSupported, match="raised LookupError: no such data here"):
            service.restart()
        assert service.alive
        assert service.pid == before


# -- the check of the service, and its facts -----------------------------------------------------------------------


def test_a_callable_is_called_again_until_it_returns_true(home: Path) -> None:
    service, other = (
        managed("command", command=[sys.executable, "-c", SLOW, "{port}"], ready=_connects) for _ in range(2)
    )
    with service as details:
        first = service.pid
        service.restart(empty=True)
        assert _connects(details)
        assert service.details is not None
        assert service.details.pid == service.pid != first == details.pid
        with other as joined:
            assert other.joined
            assert joined.pid == service.pid


def test_a_check_that_does_not_pass_again_is_reported(home: Path) -> None:
    answers = [True]
    command = [sys.executable, "-c", SLOW, "{port}"]
    service = managed("command", command=command, ready=lambda _: bool(answers and answers.pop()))
    with service:
        with pytest.raises(StartTimeout, match="its readiness check gave false") as failed:
            service.restart(empty=True, timeout=0.5)
        assert failed.value.timeout == 0.5
        assert service.alive
        assert service.details is not None
        assert service.details.pid == service.pid


def test_a_server_that_ends_during_the_check(home: Path) -> None:
    def ready(details: CommandDetails) -> bool:
        if calls:
            os.kill(details.pid or 0, signal.SIGKILL)
        calls.append(True)
        return len(calls) == 1

    calls: list[bool] = []
    service = managed("command", command=[sys.executable, "-c", SLOW, "{port}"], ready=ready)
    with service, pytest.raises(ServiceDied):
        service.restart(empty=True)


def test_buckets_are_made_again(home: Path) -> None:
    service = managed("moto", buckets=["letters"])
    with service as moto:
        service.restart(empty=True)
        assert service.details is moto
        found = boto3.client("s3", **moto.boto3).list_buckets()["Buckets"]
        assert [bucket["Name"] for bucket in found] == ["letters"]


def _connects(details: CommandDetails) -> bool:
    socket.create_connection((details.host, details.port)).close()
    return True
