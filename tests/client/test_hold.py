"""A ticket: another process holds the same instance without its arguments and its set-up."""

import subprocess
import sys
from pathlib import Path

import pytest

from servicectx import ServiceDied, hold, managed, service_names
from tests.leftovers import files, processes

HOLDER = """
import sys
from servicectx import hold
with hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
print("left", flush=True)
"""


def test_another_process_holds_it_and_the_last_one_out_stops_it(home: Path) -> None:
    service = managed("redis", setup=print)
    assert service.ticket is None
    with service:
        assert service.ticket is not None
        other = subprocess.Popen(
            [sys.executable, "-c", HOLDER, service.ticket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
    assert service.alive
    assert other.communicate("\n", timeout=10)[0] == "left\n"
    assert not service.alive
    assert not processes(home)
    assert not files(home)


def test_a_ticket_of_something_that_is_gone(home: Path) -> None:
    service = managed("redis")
    with service:
        ticket = service.ticket
        assert ticket is not None
        holding = hold(ticket)
        with holding, pytest.raises(RuntimeError, match="entered already"):
            holding.__enter__()
        assert service.alive
    with pytest.raises(ServiceDied, match="does not run any more"), hold(ticket):
        pass
    assert not files(home)


def test_the_key_is_known_before_and_is_the_same_for_all_who_share(monkeypatch: pytest.MonkeyPatch) -> None:
    assert managed("redis").key == managed("redis").key != managed("redis", name="other").key
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0")
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", '{"host": "localhost", "port": 1}')
    assert managed("redis").key is None


def test_a_project_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "setup.cfg").touch()
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path)
    here = managed("redis").key
    monkeypatch.chdir("/")
    assert managed("redis", scope=f"project:{tmp_path / 'deep'}").key == here != managed("redis").key


def test_service_names() -> None:
    assert {"postgres", "redis", "command"} <= set(service_names())
