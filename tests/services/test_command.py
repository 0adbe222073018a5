"""Any program: readiness by port, page, log or callable; failures; output."""

import os
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from servicectx import CommandDetails, InvalidOption, StartFailed, StartTimeout, managed
from tests import leftovers, servers
from tests.detector import wait_for
from tests.services.row import Row

ROWS = [
    Row(
        "command",
        binary=False,
        volatile="{data}",
        options={
            "command": [sys.executable, "-m", "http.server", "--bind", "{host}", "--directory", "{dir}", "{port}"],
            "ready": "http://{host}:{port}/",
            "stop_signal": "SIGKILL",
        },
    ),
]


WEB = [sys.executable, "-m", "http.server", "--bind", "{host}", "{port}"]

LISTEN = """
import os, signal, socket, sys, time
port, *modes = sys.argv[1:]
if "slow" in modes:
    time.sleep(0.3)
server = socket.create_server(("127.0.0.1", int(port)))
for mode in modes:
    if mode == "chat":
        for _ in range(2000):
            print("x" * 1000)
    elif mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif mode == "polite":
        signal.signal(signal.SIGTERM, lambda *_: (open(os.environ["LAST_WORDS"], "w").close(), sys.exit()))
    elif mode.startswith("print="):
        print(mode.removeprefix("print="), flush=True)
while True:
    client, _ = server.accept()
    client.sendall(os.environ.get("GREETING", "hello").encode())
    client.close()
"""


def listen(*modes: str) -> list[str]:
    return [sys.executable, "-c", LISTEN, "{port}", *modes]


def greeting(details: CommandDetails) -> str:
    import socket

    with socket.create_connection((details.host, details.port), 5) as connection:
        return connection.makefile().read()


# -- readiness ---------------------------------------------------------------------------------------------------


def test_ready_when_somebody_listens() -> None:
    with managed("command", command=listen("slow")) as details:
        assert greeting(details) == "hello"
        assert details.url == f"tcp://127.0.0.1:{details.port}"


def test_ready_when_a_page_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page").write_text("welcome")
    monkeypatch.chdir(tmp_path)
    with managed("command", command=WEB, ready="http://{host}:{port}/page") as details:
        assert details.url == f"http://127.0.0.1:{details.port}"
        with urllib.request.urlopen(f"{details.url}/page", timeout=5) as page:
            assert page.read() == b"welcome"


def test_not_ready_while_the_page_is_missing() -> None:
    with pytest.raises(StartTimeout) as caught:
        managed("command", command=WEB, ready="http://{host}:{port}/no-such-page", timeout=1.0).__enter__()
    assert caught.value.timeout == 1.0
    assert "GET /no-such-page" in str(caught.value.log_tail)


def test_ready_when_its_log_says_so() -> None:
    lease = managed("command", command=listen("slow", "print=we are open"), ready="log:we are (open|here)")
    with lease as details:
        assert greeting(details) == "hello"
        assert lease.log_path is not None
        assert "we are open" in Path(lease.log_path).read_text()


def test_a_log_may_speak_of_a_program_without_a_port() -> None:
    script = "import time; print('up and running', flush=True); time.sleep(600)"
    with managed("command", command=[sys.executable, "-c", script], ready="log:running$") as details:
        assert details.pid is not None
        os.kill(details.pid, 0)


def test_ready_when_a_callable_says_so() -> None:
    ports: list[int] = []

    def third_time(details: CommandDetails) -> bool:
        ports.append(details.port)
        if len(ports) == 1:
            raise ConnectionError("not yet")
        return len(ports) > 2

    with managed("command", command=listen(), ready=third_time) as details:
        assert ports == [details.port] * 3


def test_a_callable_that_never_agrees_is_quoted() -> None:
    def never(details: CommandDetails) -> bool:
        raise LookupError("no such page")

    with pytest.raises(StartTimeout, match="its readiness check raised LookupError: no such page"):
        managed("command", command=listen(), ready=never, timeout=0.5).__enter__()
    with pytest.raises(StartTimeout, match="its readiness check gave false"):
        managed("command", command=listen(), ready=lambda _: False, timeout=0.5).__enter__()


# -- what it is given --------------------------------------------------------------------------------------------


def test_placeholders_are_filled_in(home: Path, tmp_path: Path) -> None:
    command = [*listen(), "{host}", "{dir}", "{other} {}"]
    with managed("command", command=command, env={"GREETING": "{host} {port} {dir}"}) as details:
        assert details.directory is not None
        assert home in Path(details.directory).parents
        assert greeting(details) == f"127.0.0.1 {details.port} {details.directory}"
        assert servers.owner(details.port).cmdline()[-3:] == ["127.0.0.1", details.directory, "{other} {}"]
        (Path(details.directory) / "note").touch()
    assert not Path(details.directory).exists()


def test_a_command_line_may_be_one_text() -> None:
    with managed("command", command=f"{sys.executable} -m http.server --bind {{host}} '{{port}}'") as details:
        assert servers.owner(details.port).cmdline()[-1] == str(details.port)


def test_it_runs_in_the_caller_s_directory_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GREETING", "from the caller")
    with managed("command", command=listen()) as details:
        assert greeting(details) == "from the caller"
        assert servers.owner(details.port).cwd() == str(tmp_path)


def test_a_relative_program_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "server").write_text(f"#!{sys.executable}\n{LISTEN}")
    (tmp_path / "server").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with managed("command", command=["./server", "{port}"]) as details:
        assert greeting(details) == "hello"


def test_its_details_are_told_by_its_name() -> None:
    with managed("command", name="my-app", command=WEB, ready="http://{host}:{port}/") as details:
        assert details.env() == {
            "MY_APP_URL": f"http://127.0.0.1:{details.port}",
            "MY_APP_HOST": "127.0.0.1",
            "MY_APP_PORT": str(details.port),
        }


def test_it_is_found_by_its_port_alone() -> None:
    with managed("command", command=listen()) as details:
        assert servers.listens_on_loopback_only(details.port)
        assert servers.owner(details.port).pid == details.pid


# -- output ------------------------------------------------------------------------------------------------------


def test_a_chatty_server_is_not_blocked() -> None:
    lease = managed("command", command=listen("chat", "print=done"), ready="log:^done")
    with lease as details:
        assert greeting(details) == "hello"
        assert lease.log_path is not None
        assert Path(lease.log_path).stat().st_size > 2_000_000


def test_it_can_read_nothing() -> None:
    script = "import sys; print('read', repr(sys.stdin.read()), flush=True); import time; time.sleep(600)"
    with managed("command", command=[sys.executable, "-c", script], ready="log:read ''"):
        pass


# -- failing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 7])
def test_a_server_that_ends_is_quoted_with_its_status(status: int) -> None:
    script = f"import sys; print('first', flush=True); print('oh no', file=sys.stderr); sys.exit({status})"
    command = [sys.executable, "-c", script, "{port}"]
    began = time.monotonic()
    with pytest.raises(StartFailed) as caught:
        managed("command", name="app", command=command).__enter__()
    error = caught.value
    assert time.monotonic() - began < 20
    assert (error.service, error.name, error.exit_status) == ("command", "app", status)
    assert str(error.command).startswith(f"{sys.executable} -c ")
    assert str(error.log_tail).splitlines() == ["first", "oh no"]
    assert "oh no" in str(error)
    assert ("let the server run in the foreground" in error.reason) == (status == 0), "it may be a daemon"


def test_a_server_that_goes_to_the_background_gets_a_hint(home: Path) -> None:
    script = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(600)"
    with pytest.raises(StartFailed, match=r"exit status 0 may mean that it went to the background: .*--foreground"):
        managed("command", command=[sys.executable, "-c", script, "{port}"]).__enter__()
    assert leftovers.wait_for_none(home, 5) == []


def test_a_server_that_is_killed_is_quoted_with_the_signal() -> None:
    script = "import os; os.kill(os.getpid(), 9)"
    with pytest.raises(StartFailed, match="SIGKILL") as caught:
        managed("command", command=[sys.executable, "-c", script, "{port}"]).__enter__()
    assert caught.value.exit_status == -signal.SIGKILL


def test_only_the_last_lines_of_a_long_log_are_quoted() -> None:
    script = "for n in range(5000): print('line', n)\nraise SystemExit(1)"
    with pytest.raises(StartFailed) as caught:
        managed("command", command=[sys.executable, "-c", script, "{port}"]).__enter__()
    lines = str(caught.value.log_tail).splitlines()
    assert lines[-1] == "line 4999"
    assert len(lines) == 30


def test_a_program_that_cannot_be_executed_says_so(tmp_path: Path) -> None:
    (tmp_path / "odd").write_text("neither a script nor a program")
    (tmp_path / "odd").chmod(0o755)
    with pytest.raises(StartFailed, match="Exec format error"):
        managed("command", command=[str(tmp_path / "odd"), "{port}"]).__enter__()


def test_a_server_that_never_listens_runs_out_of_time(home: Path) -> None:
    script = "print('waiting for nothing', flush=True); import time; time.sleep(600)"
    began = time.monotonic()
    with pytest.raises(StartTimeout) as caught:
        managed("command", command=[sys.executable, "-c", script, "{port}"], timeout=0.7).__enter__()
    error = caught.value
    assert 0.7 <= time.monotonic() - began < 20
    assert (error.timeout, error.waiting_for) == (0.7, "it did not answer its own protocol")
    assert error.log_tail == "waiting for nothing"
    assert "within 0.7 s" in str(error)
    assert "SERVICECTX_TIMEOUT" in str(error)
    assert leftovers.wait_for_none(home, 2) == []


def test_no_time_at_all_is_too_little() -> None:
    with pytest.raises(StartTimeout):
        managed("command", command=listen(), timeout=0).__enter__()


def test_the_time_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_TIMEOUT", "0.4")
    script = "import time; time.sleep(600)"
    with pytest.raises(StartTimeout) as caught:
        managed("command", command=[sys.executable, "-c", script, "{port}"]).__enter__()
    assert caught.value.timeout == 0.4


# -- ending ------------------------------------------------------------------------------------------------------


def test_it_is_asked_to_end_before_it_is_killed(tmp_path: Path) -> None:
    with managed("command", command=listen("polite"), env={"LAST_WORDS": str(tmp_path / "bye")}):
        assert not (tmp_path / "bye").exists()
    assert (tmp_path / "bye").exists()


def test_it_is_killed_when_it_does_not_listen_to_reason() -> None:
    with managed("command", command=listen("deaf", "print=x"), ready="log:x", grace=0.2) as details:
        assert details.pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(details.pid, 0)


def test_its_children_end_with_it(home: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "children = [subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)]\n"
        "leave = f'import subprocess; subprocess.Popen({sleep}, start_new_session=True)'\n"
        "subprocess.run([sys.executable, '-W', 'ignore', '-c', leave])\n"
        "print('up', flush=True); time.sleep(600)\n"
    )
    with managed("command", command=[sys.executable, "-c", script], ready="log:up"):
        assert len([line for line in leftovers.command_lines(home) if "time.sleep(600)" in line]) == 4
    assert leftovers.wait_for_none(home, 0) == []


@pytest.mark.parametrize("option", [{"stop_signal": "SIGINT"}, {"stop_signal": "SIGKILL"}])
def test_other_signals_do(option: dict[str, Any]) -> None:
    with managed("command", command=listen(), **option) as details:
        pass
    wait_for(lambda: not servers.listeners(details.port), 2)


def test_signals_are_known_by_name() -> None:
    with pytest.raises(InvalidOption):
        managed("command", command=listen(), stop_signal="TERM").__enter__()
