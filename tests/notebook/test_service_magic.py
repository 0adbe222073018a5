"""`%load_ext servicectx` in a real IPython, without a terminal."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from IPython.core.error import UsageError

from servicectx.notebook.extension import load_ipython_extension, unload_ipython_extension

EXAMPLE = Path(__file__).parents[2] / "examples/notebook/visits.ipynb"


@pytest.fixture(scope="module")
def interactive_shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        yield InteractiveShell(config=Config(HistoryManager={"enabled": False}))  # type: ignore[no-untyped-call]


@pytest.fixture
def shell(interactive_shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The shell in a project of its own, with the extension loaded."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.servicectx]\norders = "redis"\n')
    interactive_shell.run_line_magic("load_ext", "servicectx")
    yield interactive_shell
    interactive_shell.run_line_magic("unload_ext", "servicectx")


def service(shell: Any, line: str = "") -> None:
    shell.run_line_magic("service", line)


def ping(details: Any) -> bool:
    with redis.Redis.from_url(details.url) as client:
        return bool(client.ping())


def test_a_service_stays_from_cell_to_cell(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    service(shell, "redis orders")
    variables = shell.user_ns
    assert ping(variables["redis"])
    assert variables["orders"].name == "orders"
    assert variables["orders"].port != variables["redis"].port
    first = capsys.readouterr().out.splitlines()
    assert first[0].startswith("redis: started in ")
    assert first[0].endswith(f" s, 127.0.0.1:{variables['redis'].port}")
    port = variables["redis"].port

    service(shell, "redis")  # a second time: the same server, with its data
    assert variables["redis"].port == port
    assert capsys.readouterr().out.startswith("redis: joined in ")
    shell.run_line_magic("reload_ext", "servicectx")  # leaves all
    service(shell)
    assert capsys.readouterr().out == ""


def test_stop_leaves_a_service_and_removes_its_variable(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    service(shell, "--linger=0 one=redis two=redis")
    shell.user_ns["two"] = "assigned by the user"
    capsys.readouterr()
    service(shell, "--stop one")
    service(shell, "--stop")
    assert capsys.readouterr().out == "one: left\ntwo: left\n"
    assert "one" not in shell.user_ns
    assert shell.user_ns["two"] == "assigned by the user"


def test_a_server_that_ended_is_started_again(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    service(shell, "--scope notes redis")
    details = shell.user_ns["redis"]
    with redis.Redis.from_url(details.url) as client:
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
    held = shell.magics_manager.magics["line"]["service"].magic._held["redis"]
    _wait(held)
    capsys.readouterr()
    service(shell)
    ended = f"redis: ended; run %service redis to start it again, {details.host}:{details.port}\n"
    assert capsys.readouterr().out == ended
    service(shell, "--scope notes redis")
    assert ping(shell.user_ns["redis"])


def _wait(held: Any) -> None:
    from tests.detector import wait_for

    wait_for(lambda: not held.alive, 30)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--linger", "%service --linger: a value is missing"),
        ("--linger soon redis", "%service --linger: "),
        ("--version 3 redis", "%service: unknown option '--version'"),
        ("2nd=redis", "%service 2nd=redis: '2nd' is not a variable; write NAME=SERVICE, as in db=postgres"),
        ("class=redis", "'class' is not a variable"),
        ("--stop redis", "%service --stop redis: the services of this kernel are: none"),
    ],
)
def test_a_mistake_is_a_usage_error(shell: Any, line: str, message: str) -> None:
    from IPython.core.error import UsageError

    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        service(shell, line)


def test_the_help_has_the_usage(shell: Any) -> None:
    assert "%service --stop" in shell.magics_manager.magics["line"]["service"].__doc__


def test_the_notebook_runs_and_leaves_nothing(tmp_path: Path) -> None:
    """Each code cell in one IPython, which is killed at the end."""
    cells = [
        "".join(cell["source"])
        for cell in json.loads(EXAMPLE.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    code = f"""
import os, signal
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
for cell in {cells!r}:
    shell.run_cell(cell).raise_error()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-u", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    assert "(1,)" in done.stdout


def test_a_name_that_is_given_twice_is_left_once(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    service(shell, "--linger=0 redis")
    capsys.readouterr()
    service(shell, "--stop redis redis")
    assert capsys.readouterr().out == "redis: left\n"


def test_the_magic_of_another_extension_stays(interactive_shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lines = interactive_shell.magics_manager.magics["line"]
    lines["service"] = print
    try:
        with pytest.raises(UsageError, match="another extension has the line magic %service"):
            load_ipython_extension(interactive_shell)
        unload_ipython_extension(interactive_shell)
        assert lines["service"] is print
    finally:
        del lines["service"]
