"""A real etcd, over its JSON gateway and etcdctl."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from servicectx import EtcdDetails, InvalidOption, StartFailed, isolated, managed
from servicectx.services import binaries, registry
from servicectx.services.etcd import wire as etcd_gateway
from servicectx.services.etcd.service import Etcd
from tests import servers
from tests.services import killed
from tests.services.row import Row, no_password, password

ROWS = [
    Row("etcd", logins=(password(user="ada é"), no_password(user=""))),
]


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def ask(details: EtcdDetails, path: str, **question: Any) -> dict[str, Any]:
    headers = {}
    if details.user:
        login = {"name": details.user, "password": details.password}
        token = httpx.post(f"{details.url}/v3/auth/authenticate", json=login, timeout=30)
        headers["Authorization"] = token.raise_for_status().json()["token"]
    answer = httpx.post(f"{details.url}/v3/{path}", json=question, headers=headers, timeout=30)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def put(details: EtcdDetails, name: str, value: str) -> None:
    ask(details, "kv/put", key=coded(details.prefix + name), value=coded(value))


def get(details: EtcdDetails, name: str) -> str | None:
    found = ask(details, "kv/range", key=coded(details.prefix + name)).get("kvs")
    return base64.b64decode(found[0]["value"]).decode() if found else None


def keys(details: EtcdDetails) -> list[str]:
    found = ask(details, "kv/range", key=coded("\0"), range_end=coded("\0"), keys_only=True).get("kvs", [])
    return [base64.b64decode(pair["key"]).decode() for pair in found]


def etcdctl(details: EtcdDetails, *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = binaries.find(Etcd.shell)
    environment = {"PATH": os.environ["PATH"]} | details.env()
    return subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_environment_is_enough_for_etcdctl() -> None:
    with managed("etcd") as details:
        assert etcdctl(details, "put", "colour", "grün").stdout == "OK\n"
        assert etcdctl(details, "get", "colour").stdout == "colour\ngrün\n"
        assert get(details, "colour") == "grün"
        assert etcdctl(details, "endpoint", "health").returncode == 0


@pytest.mark.parametrize("wrong", [{"password": "guess"}, {"user": "somebody"}, {"user": "", "password": ""}])
def test_a_wrong_login_is_refused(wrong: dict[str, str]) -> None:
    with managed("etcd") as details:
        bad = details.model_copy(update=wrong)
        with pytest.raises(httpx.HTTPStatusError):
            put(bad, "a", "1")
        assert etcdctl(bad, "put", "a", "1").returncode != 0
        assert get(details, "a") is None
        with pytest.raises(etcd_gateway.Refused), isolated(bad):
            pass


def test_both_ports_are_on_loopback() -> None:
    with managed("etcd") as details:
        ports = [end.laddr.port for end in servers.owner(details.port).net_connections("inet") if not end.raddr]
        assert len(set(ports)) == 2
        assert all(servers.listens_on_loopback_only(port) for port in ports)


def test_settings_reach_the_server() -> None:
    with managed("etcd", settings={"max-request-bytes": 1024, "pre-vote": False}) as details:
        put(details, "a", "1" * 512)
        with pytest.raises(httpx.HTTPStatusError):
            put(details, "a", "1" * 2048)


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed) as caught, managed("etcd", settings={"no-such-flag": 1}):
        pass
    assert "flag provided but not defined: -no-such-flag" in str(caught.value)


@pytest.mark.parametrize("ours", ["name", "data-dir", "listen-client-urls", "initial-cluster"])
def test_settings_that_would_lead_elsewhere_are_refused(ours: str) -> None:
    with pytest.raises(InvalidOption, match="set by servicectx"), managed("etcd", settings={ours: "x"}):
        pass


@pytest.mark.parametrize("setting", ["auth-token", "client-cert-auth", "cert-file"])
def test_settings_that_would_lock_clients_out_are_refused(setting: str) -> None:
    with pytest.raises(InvalidOption, match=f"{setting!r} is set by servicectx"):
        managed("etcd", settings={setting: "x"}).__enter__()


def test_without_a_login_every_client_may_write() -> None:
    with managed("etcd", password=False) as details:
        assert "ETCDCTL_USER" not in details.env()
        assert etcdctl(details, "put", "colour", "green").stdout == "OK\n"
        with isolated(details) as mine:
            put(mine, "a", "1")
        assert keys(details) == ["colour"]


def test_a_user_beside_root_is_the_only_login() -> None:
    with managed("etcd", user="ada", password="s3cret") as details:
        assert etcdctl(details, "put", "colour", "green").stdout == "OK\n"
        for password in ("s3cret", "", "root"):
            with pytest.raises(httpx.HTTPStatusError):
                put(details.model_copy(update={"user": "root", "password": password}), "a", "1")
    with pytest.raises(InvalidOption, match="accepts no ':' in it"):
        managed("etcd", user="a:b").__enter__()
    with pytest.raises(InvalidOption, match="no login, and then there are no users"):
        managed("etcd", user="ada", password=None).__enter__()


@pytest.mark.parametrize("login", [{"user": "ada", "password": "a"}, {"password": None}])
def test_a_snapshot_has_the_login_that_it_was_made_with(login: dict[str, Any]) -> None:
    def fill(details: EtcdDetails) -> None:
        put(details, "a", "1")

    for _ in range(2):
        with managed("etcd", setup=fill, snapshot="login", **login) as details:
            assert get(details, "a") == "1"


def test_the_version_is_told() -> None:
    with managed("etcd") as details:
        output = subprocess.run([servers.owner(details.port).exe(), "--version"], capture_output=True, text=True).stdout
        assert details.version
        assert f"etcd Version: {details.version}\n" in output


def test_the_caller_s_settings_for_servers_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_LISTEN_CLIENT_URLS", "http://0.0.0.0:2379")
    monkeypatch.setenv("ETCD_DISCOVERY", "http://127.0.0.1:1/")
    with managed("etcd") as details:
        assert servers.listens_on_loopback_only(details.port)
        assert not [name for name in servers.environment(servers.owner(details.port)) if name.startswith("ETCD")]


def test_what_a_launcher_launches_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel installs a Python script beside this Python, a directory on PATH in an activated environment."""
    with managed("etcd") as details:
        found = Path(servers.owner(details.port).exe())
    if found.parent.name == "etcdbin":
        service = registry.find("etcd")
        scripts = Path(sys.executable).parent
        monkeypatch.setenv("PATH", f"{scripts}{os.pathsep}{os.environ['PATH']}")
        assert service.program(service.options({})) == str(found)


def test_nobody_else_s_server_is_taken_over() -> None:
    with managed("etcd") as details:
        before = details.model_copy(update={"user": "", "password": ""})
        ask(details, "auth/disable")
        with pytest.raises(OSError, match="belongs to another server"):
            etcd_gateway.claim_server(details.host, details.port, 10, "member-of-others", "", "secret")
        put(before, "a", "1")


def test_a_password_is_given_in_place_of_an_old_one_and_once() -> None:
    with managed("etcd") as details:
        server = (details.host, details.port, 10.0, "not-its-name")
        for _ in range(2):
            reply = etcd_gateway.claim_server(*server, details.password, "new")
            assert reply == {"version": details.version}
        assert keys(details.model_copy(update={"password": "new"})) == []
        with pytest.raises(etcd_gateway.Refused):
            etcd_gateway.claim_server(*server, "guess", "newer")


def test_what_is_in_a_namespace_goes_with_it() -> None:
    with managed("etcd") as details:
        put(details, "a", "0")
        put(details, "sc_", "0")
        put(details, "sd", "0")
        with isolated(details) as one, isolated(details) as two:
            assert one.prefix.endswith("/")
            assert one.env()["ETCD_PREFIX"] == one.prefix
            for name in ("a", "b", "c"):
                put(one, name, "1")
                put(two, name, "2")
            assert len(keys(details)) == 9
        assert keys(details) == ["a", "sc_", "sd"]


def test_what_is_to_stay_outlives_its_maker() -> None:
    with managed("etcd") as details:
        killed.and_kept(details)
        before = keys(details)
        assert len(before) == 2
        with isolated(details):
            assert keys(details) == before


def test_what_a_killed_user_left_is_removed_by_the_next() -> None:
    with managed("etcd") as details:
        killed.in_a_namespace(details)
        put(details, "sc_", "between")
        assert len(keys(details)) == 2
        with isolated(details) as mine:
            put(mine, "a", "1")
            assert keys(details) == ["sc_", f"{mine.prefix}a"]
            with isolated(details):
                assert get(mine, "a") == "1"


def test_a_snapshot_keeps_the_data_and_no_password() -> None:
    def fill(details: EtcdDetails) -> None:
        put(details, "a", "1")

    with managed("etcd", setup=fill, snapshot="one") as first:
        assert get(first, "a") == "1"
    with managed("etcd", setup=fill, snapshot="one") as second, managed("etcd", name="b", setup=fill, snapshot="one"):
        assert get(second, "a") == "1"
        with pytest.raises(httpx.HTTPStatusError):
            get(second.model_copy(update={"password": first.password}), "a")


def test_details_say_where_it_is() -> None:
    details = EtcdDetails(service="etcd", name="etcd", host="127.0.0.1", port=2379)
    assert (details.url, details.endpoint) == ("http://127.0.0.1:2379", "127.0.0.1:2379")
    assert details.env() == {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": "http://127.0.0.1:2379"}
