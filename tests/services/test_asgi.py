"""A real ASGI app under uvicorn, through httpx and websockets."""

import asyncio
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect

from servicectx import (
    AppDetails,
    BinaryNotFound,
    DetailsError,
    InvalidOption,
    NotIsolable,
    StartFailed,
    isolated,
    managed,
)
from servicectx.services import python_launcher, python_servers
from tests import servers
from tests.services.row import Row

ROWS = [
    Row("asgi", options={"app": "tests.services.sample_apps:asgi"}, volatile="the app"),
]


APP = "tests.services.sample_apps:asgi"


def put(details: AppDetails, name: str, value: str) -> None:
    httpx.put(f"{details.url}/{name}", content=value, trust_env=False).raise_for_status()


def get(details: AppDetails, name: str) -> str | None:
    found = httpx.get(f"{details.url}/{name}", trust_env=False)
    return None if found.status_code == 404 else found.raise_for_status().text


def about(details: AppDetails) -> Any:
    return json.loads(get(details, "about") or "")


def test_http_and_websockets() -> None:
    with managed("asgi", app=APP) as app:
        put(app, "colour", "grün")
        assert get(app, "colour") == "grün"
        with connect(f"{app.ws_url}/chat", proxy=None) as socket:
            socket.send("hello")
            assert socket.recv() == "/chat hello"
        asyncio.run(use_asynchronously(app))


async def use_asynchronously(app: AppDetails) -> None:
    async with httpx.AsyncClient(base_url=app.url, trust_env=False) as client:
        assert (await client.get("/colour")).text == "grün"
    async with connect_async(f"{app.ws_url}/chat", proxy=None) as socket:
        await socket.send("hello again")
        assert await socket.recv() == "/chat hello again"


def test_details() -> None:
    app = AppDetails(service="asgi", name="my-shop", host="::1", port=8000)
    assert (app.url, app.ws_url) == ("http://[::1]:8000", "ws://[::1]:8000")
    assert app.env() == {"MY_SHOP_URL": app.url, "MY_SHOP_HOST": "::1", "MY_SHOP_PORT": "8000"}
    away = app.model_copy(update={"scheme": "https"})
    assert (away.url, away.ws_url) == ("https://[::1]:8000", "wss://[::1]:8000")
    assert (away.ws_base, away.hostname) == (away.ws_url, "::1")  # as in managed-service-fixtures


def test_the_environment_is_enough_for_a_client() -> None:
    script = "import httpx, os; print(httpx.get(os.environ['ASGI_URL'] + '/third', trust_env=False).status_code)"
    with managed("asgi", app=APP) as app:
        result = subprocess.run(
            [sys.executable, "-c", script], env=os.environ | app.env(), capture_output=True, text=True, check=True
        )
    assert result.stdout == "404\n"


# -- where it runs -----------------------------------------------------------------------------------------------


def test_it_runs_in_the_caller_s_directory_environment_and_search_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("from tests.services.sample_apps import asgi as app\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("FROM_THE_CALLER", "{port} too")
    with managed("asgi", app="mine:app", env={"PUBLIC_URL": "http://{host}:{port}"}) as app:
        state = about(app)
        assert state["directory"] == str(tmp_path / "here")
        assert state["variables"]["FROM_THE_CALLER"] == f"{app.port} too"
        assert state["variables"]["PUBLIC_URL"] == app.url
        assert state["path"] == [os.path.abspath(place) for place in sys.path]


def test_a_module_in_the_working_directory_is_found_where_scripts_find_it(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("from tests.services.sample_apps import asgi as app\n")
    script = "from servicectx import managed\nwith managed('asgi', app='shop:app') as app: print(app.url)"
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert result.stdout.startswith("http://127.0.0.1:"), result.stderr


def test_a_variable_that_differs_is_another_app() -> None:
    with managed("asgi", app=APP, env={"TENANT": "a"}) as a, managed("asgi", app=APP, env={"TENANT": "b"}) as b:
        with managed("asgi", app=APP, env={"TENANT": "a"}) as again:
            assert about(again)["pid"] == about(a)["pid"] != about(b)["pid"]
        assert [about(app)["variables"]["TENANT"] for app in (a, b)] == ["a", "b"]


def test_the_socket_is_inherited_and_nothing_else_listens() -> None:
    with managed("asgi", app=APP) as app:
        server = servers.owner(app.port)
        assert server.pid == about(app)["pid"]
        assert servers.listens_on_loopback_only(app.port)
        assert len([connection for connection in server.net_connections() if connection.status == "LISTEN"]) == 1
        assert json.loads(get(app, "argv") or "") == [python_launcher.__file__]


def test_another_python_has_a_search_path_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("uvicorn", "python3"):
        (tmp_path / name).write_text(f'#!/bin/sh\nANOTHER=yes exec {sys.executable} "$@"\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("SERVICECTX_ASGI_BIN", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), sysconfig.get_path("purelib")]))
    with managed("asgi", app=APP) as app:
        assert about(app)["variables"]["ANOTHER"] == "yes"
        assert about(app)["path"][0] == os.getcwd()


def test_without_uvicorn_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_servers, "find_spec", {}.get)
    with pytest.raises(BinaryNotFound) as caught, managed("asgi", app="not.cached:app"):
        pass
    assert "the Python package uvicorn (not installed for " in str(caught.value)
    assert "pip install 'servicectx[asgi]'" in str(caught.value)


# -- readiness ---------------------------------------------------------------------------------------------------


def test_its_first_request_is_the_caller_s() -> None:
    with managed("asgi", app=APP) as app, managed("asgi", app=APP):
        assert about(app)["requests"] == ["/about"]


def test_a_path_may_say_when_it_is_ready() -> None:
    with managed("asgi", app=APP, ready="/third-time") as app:
        assert about(app)["requests"][:3] == ["/third-time"] * 3


def test_it_ends_as_it_likes_to(tmp_path: Path) -> None:
    with managed("asgi", app=APP, env={"LAST_WORDS": str(tmp_path / "bye")}) as app, connect(app.ws_url, proxy=None):
        assert not (tmp_path / "bye").exists()
    assert (tmp_path / "bye").read_text() == "bye"


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    environment = {"NEVER_END": "1", "LAST_WORDS": str(tmp_path / "bye")}
    with managed("asgi", app=APP, env=environment, grace=0.5) as app:
        pid = about(app)["pid"]
    assert (tmp_path / "bye").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# -- options -----------------------------------------------------------------------------------------------------


def test_a_function_may_make_it() -> None:
    with managed("asgi", app="tests.services.sample_apps:make_asgi", factory=True) as app:
        assert get(app, "made") == "by a function"


def test_settings_reach_the_server() -> None:
    with managed("asgi", app=APP, settings={"headers": [["x-shop", "open"]], "access_log": False}) as app:
        assert httpx.get(app.url, trust_env=False).headers["x-shop"] == "open"


def test_its_log_begins_with_the_server_s_own_start() -> None:
    with (service := managed("asgi", app=APP)):
        log = Path(service.log_path or "").read_text()
    assert log.startswith("INFO:     Started server process"), log


def test_requests_and_what_it_prints_are_in_its_log() -> None:
    service = managed("asgi", app=APP)
    with service as app:
        get(app, "aloud")
        assert "a line of output\nINFO:" in Path(service.log_path or "").read_text()
        assert '"GET /aloud HTTP/1.1" 200' in Path(service.log_path or "").read_text()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, 'the path of the app is missing: app="package.module:app"'),
        ({"app": "shop.py"}, "'shop.py' is not the path of an app"),
        ({"app": APP, "ready": "health"}, "'health' is not a path, such as '/health'"),
        ({"app": APP, "settings": {"port": 80}}, "'port' is set by servicectx"),
        ({"app": APP, "settings": {"lifespan": object()}}, "settings are sent to another process as JSON"),
    ],
)
def test_bad_options(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidOption) as caught, managed("asgi", **options):
        pass
    assert problem in str(caught.value)


# -- failing -----------------------------------------------------------------------------------------------------


def failure(**options: Any) -> StartFailed:
    with pytest.raises(StartFailed) as caught, managed("asgi", **options):
        pass
    return caught.value


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    error = failure(app=APP, settings={"colour": "green"})
    assert "TypeError: Config.__init__() got an unexpected keyword argument 'colour'" in str(error)


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("no_such_module:app", 'Could not import module "no_such_module"'),
        ("tests.services.sample_apps:no_such_app", 'Attribute "no_such_app" not found in module'),
    ],
)
def test_an_app_that_is_not_there(app: str, message: str) -> None:
    assert message in str(failure(app=app))


@pytest.mark.parametrize(
    "line", ["import no_such_package", "1 / 0", "raise OSError(98, 'Address already in use')", "raise SystemExit('no')"]
)
def test_an_import_that_fails_is_told_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    (tmp_path / "broken.py").write_text(f"def begin():\n    {line}\n\n\nbegin()\n")
    monkeypatch.syspath_prepend(tmp_path)
    error = failure(app="broken:app")
    assert error.reason.startswith("the server ended before it was usable (exit status ")
    if "SystemExit" in line:
        assert str(error.log_tail).endswith("no")
    else:
        assert f'File "{tmp_path}/broken.py", line 2, in begin\n    {line}' in str(error.log_tail)


def test_an_app_that_fails_at_startup_is_told_with_what_it_says() -> None:
    error = failure(app=APP, env={"FAIL_AT_STARTUP": "1"})
    assert "LookupError: no database today" in str(error.log_tail)


def test_it_has_no_namespaces() -> None:
    with managed("asgi", app=APP) as app, pytest.raises(NotIsolable), isolated(app):
        pass


# -- details from outside ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["asgi", "wsgi"])
def test_an_app_from_outside(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0")
    monkeypatch.setenv("TEST_APP_DETAILS", '{"hostname": "app.test", "port": 443, "scheme": "https"}')
    with managed(service, app=APP) as app:
        assert (app.url, app.external, app.service) == ("https://app.test:443", True, service)
    monkeypatch.setenv("TEST_APP_DETAILS", '{"hostname": "app.test", "port": 443, "scheme": "gopher"}')
    with pytest.raises(DetailsError, match="scheme"), managed(service, app=APP):
        pass
