"""A real WSGI app under gunicorn and waitress, with httpx."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil
import pytest

from servicectx import AppDetails, BinaryNotFound, InvalidOption, StartFailed, managed
from servicectx.services import python_servers
from tests import servers
from tests.detector import wait_for
from tests.services import test_asgi
from tests.services.row import Row

APP = "tests.services.sample_apps:wsgi"
ROWS = [
    Row("wsgi", "gunicorn", options={"app": APP, "server": "gunicorn"}, volatile="the app"),
    Row("wsgi", "waitress", options={"app": APP, "server": "waitress"}, volatile="the app"),
]


put: Callable[[AppDetails, str, str], None] = test_asgi.put
get: Callable[[AppDetails, str], str | None] = test_asgi.get

APP = "tests.services.sample_apps:wsgi"
Server = Literal["gunicorn", "waitress"]
SERVERS = pytest.mark.parametrize("server", ["gunicorn", "waitress"])


def about(details: AppDetails) -> Any:
    return json.loads(get(details, "about") or "")


@SERVERS
def test_requests(server: Server) -> None:
    service = managed("wsgi", app=APP, server=server)
    with service as app:
        put(app, "colour", "grün")
        assert get(app, "colour") == "grün"
        assert about(app)["requests"] == ["/colour", "/colour", "/about"]
        assert servers.listens_on_loopback_only(app.port)
        assert ("gunicorn" in Path(service.log_path or "").read_text()) == (server == "gunicorn")


@SERVERS
def test_two_requests_at_once(server: Server) -> None:
    with managed("wsgi", app=APP, server=server) as app, ThreadPoolExecutor(2) as pool:
        both = [pool.submit(get, app, "together") for _ in range(2)]
        assert [future.result() for future in both] == ["both are here"] * 2


@SERVERS
def test_where_it_runs(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("from tests.services.sample_apps import wsgi as app\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with managed("wsgi", app="mine:app", server=server, env={"TENANT": "a"}) as app:
        assert about(app)["directory"] == str(tmp_path)
        assert about(app)["variables"]["TENANT"] == "a"
        assert str(tmp_path) in about(app)["path"]


@SERVERS
def test_a_function_may_make_it(server: Server) -> None:
    with managed("wsgi", app="tests.services.sample_apps:make_wsgi", factory=True, server=server) as app:
        assert get(app, "made") == "by a function"


@SERVERS
def test_a_path_may_say_when_it_is_ready(server: Server) -> None:
    with managed("wsgi", app=APP, server=server, ready="/third-time") as app:
        assert about(app)["requests"][:3] == ["/third-time"] * 3


def test_settings_reach_gunicorn() -> None:
    with managed("wsgi", app=APP, server="gunicorn", settings={"workers": 2, "limit_request_line": 100}) as app:
        master = psutil.Process(about(app)["pid"]).parent()
        assert master is not None
        wait_for(lambda: len(master.children()) == 2, 20)
        assert httpx.get(f"{app.url}/{'x' * 200}", trust_env=False).status_code in (400, 414)


def test_settings_reach_waitress() -> None:
    with managed("wsgi", app=APP, server="waitress", settings={"ident": "the shop"}) as app:
        assert httpx.get(app.url, trust_env=False).headers["server"] == "the shop"


@pytest.mark.parametrize(
    ("server", "message"),
    [("gunicorn", "No configuration setting for: colour"), ("waitress", "Unknown adjustment 'colour'")],
)
def test_a_bad_setting_fails_with_the_server_s_own_words(server: Server, message: str) -> None:
    with pytest.raises(StartFailed) as caught, managed("wsgi", app=APP, server=server, settings={"colour": "green"}):
        pass
    assert message in str(caught.value.log_tail)


@SERVERS
@pytest.mark.parametrize("line", ["import no_such_package", "1 / 0"])
def test_an_import_that_fails_is_told_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, line: str
) -> None:
    (tmp_path / "broken.py").write_text(f"def begin():\n    {line}\n\n\nbegin()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartFailed) as caught, managed("wsgi", app="broken:app", server=server):
        pass
    assert f'File "{tmp_path}/broken.py", line 2, in begin\n    {line}' in str(caught.value.log_tail)


def test_gunicorn_is_taken_before_waitress() -> None:
    service = managed("wsgi", app=APP)
    with service:
        assert "Starting gunicorn" in Path(service.log_path or "").read_text()


def test_one_of_them_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_servers, "find_spec", lambda name: find_spec(name) if name == "waitress" else None)
    not_cached: Any = {"app": APP, "grace": 4.75}  # the lookup of a program is cached for its options
    with managed("wsgi", **not_cached, server="waitress"):
        pass
    with pytest.raises(BinaryNotFound, match="the Python package gunicorn"):
        managed("wsgi", **not_cached, server="gunicorn").__enter__()


def test_unknown_servers() -> None:
    with pytest.raises(InvalidOption, match="'gunicorn' or 'waitress'"):
        managed("wsgi", app=APP, server="apache")  # type: ignore[call-overload]
