"""A real OpenBao, with Vault's usual client."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac  # type: ignore[import-untyped]
import hvac.exceptions  # type: ignore[import-untyped]
import pytest

from servicectx import InvalidOption, NotIsolable, StartFailed, VaultDetails, isolated, managed
from servicectx.services import registry
from tests import servers
from tests.detector import wait_for
from tests.services import killed
from tests.services.row import Login, Row

ROOT = {"token": "root"}
ROWS = [
    Row(
        "vault",
        volatile="in development mode",
        logins=(
            Login("root", ROOT, ROOT, ({"token": "guess"}, {"token": ""})),
            Login("odd", {"token": "a#{port}'\"%"}, {"token": "a#{port}'\"%"}, (ROOT,)),
        ),
        not_possible=(({"token": None}, "every request for a secret has a token"),),
    ),
]


@contextmanager
def connected(details: VaultDetails) -> Iterator[Any]:
    connection = hvac.Client(url=details.url, token=details.token)
    try:
        yield connection
    finally:
        connection.adapter.close()


def put(details: VaultDetails, name: str, value: str) -> None:
    with connected(details) as connection:
        connection.secrets.kv.v2.create_or_update_secret(name, {"value": value}, mount_point=details.mount)


def get(details: VaultDetails, name: str) -> str | None:
    with connected(details) as connection:
        try:
            found = connection.secrets.kv.v2.read_secret_version(
                name, mount_point=details.mount, raise_on_deleted_version=True
            )
        except hvac.exceptions.InvalidPath:
            return None
        return str(found["data"]["data"]["value"])


def mounts(details: VaultDetails) -> set[str]:
    with connected(details) as connection:
        return {name for name in connection.sys.list_mounted_secrets_engines()["data"] if name.startswith("sc_")}


def test_clients_connect() -> None:
    with managed("vault") as vault, connected(vault) as connection:
        assert connection.is_authenticated()
        assert not connection.sys.is_sealed()
        connection.sys.enable_secrets_engine(backend_type="transit")
        connection.secrets.transit.create_key("key")
        assert connection.secrets.transit.encrypt_data("key", plaintext="YQ==")["data"]["ciphertext"]
        connection.sys.create_or_update_policy("reader", 'path "secret/data/*" { capabilities = ["read"] }')
        token = connection.auth.token.create(policies=["reader"])["auth"]["client_token"]
        put(vault, "a", "ä")
        assert get(vault.model_copy(update={"token": token}), "a") == "ä"
        with pytest.raises(hvac.exceptions.Forbidden):
            put(vault.model_copy(update={"token": token}), "a", "b")


@pytest.mark.parametrize("token", ["guess", "root", ""])
def test_a_wrong_token_is_refused(token: str) -> None:
    with managed("vault") as vault:
        bad = vault.model_copy(update={"token": token})
        with pytest.raises((hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized)):
            put(bad, "a", "1")
        with pytest.raises(NotIsolable, match=r"a mount cannot be created: .*permission denied"), isolated(bad):
            pass


def test_its_unseal_key_unseals_it_and_no_other_key_does(home: Path) -> None:
    with managed("vault", token="root") as vault, connected(vault) as connection:
        (log,) = home.rglob("service.log")
        logged = re.search(r"^Unseal Key: (\S+)$", log.read_text(), re.MULTILINE)
        assert logged
        assert logged[1] != vault.unseal_key
        assert vault.unseal_key not in f"{log.read_text()} {vault!r}"
        connection.sys.seal()
        assert connection.sys.is_sealed()
        with pytest.raises(hvac.exceptions.InvalidRequest):
            connection.sys.submit_unseal_key(logged[1])
        assert connection.sys.is_sealed()
        connection.sys.submit_unseal_key(vault.unseal_key)
        assert not connection.sys.is_sealed()
        put(vault, "a", "1")
        assert get(vault, "a") == "1"


@pytest.mark.parametrize("token", ["s.a", "a/b", "a b", "ü"])
def test_a_token_that_vault_cannot_have_is_refused(token: str) -> None:
    with pytest.raises(InvalidOption, match="token"):
        managed("vault", token=token).__enter__()


def test_each_instance_has_a_token_of_its_own() -> None:
    with managed("vault", name="a") as first, managed("vault", name="b") as second:
        assert first.token != second.token
        assert len(first.token) >= 32


def test_the_token_is_not_in_its_log(home: Path) -> None:
    with managed("vault") as vault:
        log = next(home.rglob("service.log"))
        wait_for(lambda: "Root Token: " in log.read_text(), 20)
        (written,) = re.findall("Root Token: (.*)", log.read_text())
        assert vault.token not in log.read_text()
        with connected(vault.model_copy(update={"token": written.strip()})) as connection:
            assert not connection.is_authenticated()
        with connected(vault) as connection:
            assert connection.lookup_token()["data"]["policies"] == ["root"]
            assert connection.lookup_token()["data"]["ttl"] == 0


def test_no_token_is_kept_in_the_home_directory(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with managed("vault"):
        assert list(home.rglob("*token*")) == []
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["VAULT", "BAO"])
def test_the_caller_s_own_vault_is_not_asked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ADDR": "http://127.0.0.1:1", "TOKEN": "mine", "NAMESPACE": "mine"}.items():
        monkeypatch.setenv(f"{kind}_{name}", value)
    with managed("vault") as vault:
        environment = servers.environment(servers.owner(vault.port))
        assert not {f"{kind}_ADDR", f"{kind}_TOKEN", f"{kind}_NAMESPACE"} & set(environment)


def test_both_of_its_ports_are_on_loopback() -> None:
    with managed("vault") as vault:
        assert servers.listens_on_loopback_only(vault.port)
        assert servers.listens_on_loopback_only(vault.port + 1)


def test_the_environment_is_enough_for_clients() -> None:
    script = "import hvac; print(hvac.Client().is_authenticated())"
    with managed("vault") as vault:
        plain = {name: os.environ[name] for name in os.environ if not name.startswith(("VAULT_", "BAO_"))}
        result = subprocess.run(
            [sys.executable, "-c", script], env=plain | vault.env(), capture_output=True, text=True, check=True
        )
        client = registry.find("vault").client(vault)
        assert client is not None
        program = registry.find("vault").program(None)
        put(vault, "a", "1")
        shown = subprocess.run(
            [program, *client.arguments, "kv", "get", "-field=value", "secret/a"],
            env=plain | client.environment,
            capture_output=True,
            text=True,
            check=True,
        )
    assert result.stdout == "True\n"
    assert shown.stdout == "1"


def test_settings_reach_the_server() -> None:
    with managed("vault", settings={"default_lease_ttl": "5m"}) as vault, connected(vault) as connection:
        mount = connection.sys.read_mount_configuration("secret")
        assert mount["data"]["default_lease_ttl"] == 300


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed) as caught, managed("vault", settings={"default_lease_ttl": "soon"}):
        pass
    assert caught.value.exit_status == 1
    assert 'time: invalid duration "soon"' in str(caught.value.log_tail)


@pytest.mark.parametrize("ours", ["listener", "storage", "api_addr"])
def test_settings_that_would_lead_elsewhere_are_refused(ours: str) -> None:
    with pytest.raises(InvalidOption, match="set by servicectx"), managed("vault", settings={ours: "x"}):
        pass


def test_the_version_is_told() -> None:
    with managed("vault") as vault:
        program = servers.owner(vault.port).exe()
        output = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
        assert vault.version
        assert f"v{vault.version} " in output


def test_a_namespace_goes_with_its_secrets() -> None:
    with managed("vault") as vault:
        with isolated(vault) as one, isolated(vault) as two:
            put(one, "a", "1")
            assert mounts(vault) == {f"{one.mount}/", f"{two.mount}/"}
        assert mounts(vault) == set()


def test_what_a_killed_user_left_is_removed_by_the_next() -> None:
    with managed("vault") as vault:
        killed.in_a_namespace(vault)
        (left,) = mounts(vault)
        with isolated(vault) as mine:
            assert mounts(vault) == {f"{mine.mount}/"} != {left}


def test_details_from_outside_give_namespaces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with managed("vault") as vault:
        fields = {"hostname": vault.host, "port": vault.port, "token": vault.token}
        monkeypatch.setenv("TEST_VAULT_DETAILS", json.dumps(fields))
        with managed("vault", name="vault", scope="private") as outside:
            assert outside.external
            assert (outside.url, outside.mount) == (vault.url, "secret")
            with isolated(outside) as mine:
                put(mine, "a", "1")
                assert get(outside, "a") is None
        assert mounts(vault) == set()


def test_the_forms_of_its_details() -> None:
    vault = VaultDetails(service="vault", name="vault", scheme="https", host="::1", port=8200, token="t")
    assert vault.url == "https://[::1]:8200"
    assert vault.env() == {
        "VAULT_ADDR": "https://[::1]:8200",
        "VAULT_TOKEN": "t",
        "VAULT_MOUNT": "secret",
        "BAO_ADDR": "https://[::1]:8200",
        "BAO_TOKEN": "t",
        "BAO_MOUNT": "secret",
    }
    mine = vault.model_copy(update={"mount": "mine"}).env()
    assert mine["VAULT_MOUNT"] == mine["BAO_MOUNT"] == "mine"
    assert "token='***'" in repr(vault)
