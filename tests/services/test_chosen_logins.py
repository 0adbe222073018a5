"""The login that a caller chooses: its forms, its effect on keys and caches, and settings that contradict it."""

import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis as redis_client

from servicectx import (
    ConfigError,
    InvalidOption,
    PostgresDetails,
    RedisDetails,
    cache_entries,
    isolated,
    managed,
)
from servicectx.cli.selection import members
from servicectx.services import registry
from tests.keeper.test_kept_data import kept_path
from tests.services import accounts, table
from tests.services.row import ODD_PASSWORD
from tests.services.test_mariadb import query

WITH_PASSWORD = ("postgres", "redis", "mariadb")
ODD_UNICODE = "pässwörd ① \uff21\uff22\u00a0c"  # SASLprep changes it


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(
        """
[tool.servicectx]
orders = {service = "postgres", user = "ada", password = "12345", dbname = "shop"}
open = {service = "postgres", password = false}
"""
    )
    (tmp_path / "setup.cfg").write_text(
        "[servicectx]\nold =\n    service = postgres\n    password = False\n"
        "other =\n    service = postgres\n    password = 12345\n"
    )
    return tmp_path


def test_the_project_s_files_name_logins(project: Path) -> None:
    written = managed("postgres", name="orders", user="ada", password="12345", dbname="shop")
    assert managed("orders").key == written.key
    for name in ("open", "old"):
        assert managed(name).key == managed("postgres", name=name, password=False).key
    assert managed("other").key == managed("postgres", name="other", password="12345").key
    with managed("orders") as pg:
        assert (pg.user, pg.password, pg.dbname) == ("ada", "12345", "shop")
    with managed("open") as pg:
        assert pg.password == ""


def test_a_number_in_the_project_s_file_is_not_a_password(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.servicectx]\norders = {service = "postgres", password = 12345}\n')
    with pytest.raises(ConfigError, match=r"orders\.password: .*valid string") as caught:
        managed("orders")
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("none", False), ("None", False), ("false", False), ("12345", "12345"), ("[1]", "[1]"), ('{"a": 1}', '{"a": 1}')],
)
def test_a_command_line_names_logins(text: str, value: Any) -> None:
    (member,) = members(("postgres",), (), (f"postgres.password={text}", "postgres.user=007"))
    assert member.managed.key == managed("postgres", password=value, user="007").key


def test_logins_are_part_of_the_key() -> None:
    values: list[Any] = ["a", "b", None, False]
    keys = [managed("redis", password=value).key for value in values]
    assert len({*keys[:3], managed("redis").key}) == 4


@pytest.mark.parametrize("service", WITH_PASSWORD)
@pytest.mark.parametrize("password", ["", "two\nlines", "nul\0", "\udcff", "long" * 100])
def test_what_is_not_a_password_is_refused(service: str, password: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        managed(service, password=password).__enter__()
    assert caught.value.option == "password"
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize("service", WITH_PASSWORD)
@pytest.mark.parametrize("user", ["", "two\nlines", "long" * 100])
def test_what_is_not_a_user_is_refused(service: str, user: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        managed(service, user=user).__enter__()
    assert caught.value.option == "user"


@pytest.mark.parametrize(
    ("service", "password"),
    [("postgres", ODD_UNICODE), ("redis", ODD_UNICODE), *((service, "x" * 200) for service in WITH_PASSWORD)],
)
def test_any_other_text_is_a_password(service: str, password: str) -> None:
    usage = table.usage(service)
    assert usage
    with managed(service, password=password) as details:
        assert details.password == password
        usage.put(details, "a", "1")
        with isolated(details) as mine:
            usage.put(mine, "a", "2")


def test_a_password_of_mariadb_is_ascii() -> None:
    with pytest.raises(InvalidOption, match="it is not ASCII"):
        managed("mariadb", password="pässwörd").__enter__()


def test_asyncpg_sends_the_same_password() -> None:
    import asyncio

    import asyncpg

    async def use(url: str) -> Any:
        connection = await asyncpg.connect(url)
        found = await connection.fetchval("select 1")
        await connection.close()
        return found

    with managed("postgres", password=ODD_UNICODE) as pg:
        assert asyncio.run(use(pg.url)) == 1


def test_a_login_of_postgres_needs_no_template_of_its_own() -> None:
    with managed("postgres"):
        before = [entry.path for entry in cache_entries() if entry.kind == "template"]
    for options in ({"password": None}, {"password": "postgres"}, {"socket": True}):
        with managed("postgres", **options):
            pass
    assert [entry.path for entry in cache_entries() if entry.kind == "template"] == before


def test_postgres_without_a_login_trusts_local_clients_alone() -> None:
    with managed("postgres", password=None) as pg, psycopg.connect(pg.url, password="anything") as connection:
        rules = connection.execute("select type, address, auth_method from pg_hba_file_rules").fetchall()
        assert rules == [("local", None, "trust"), ("host", "127.0.0.1", "trust"), ("host", "::1", "trust")]
        assert "PGPASSWORD" not in {name for name, value in pg.env().items() if value}


def schema(details: PostgresDetails) -> None:
    with psycopg.connect(details.url) as connection:
        connection.execute("create table stored (n int)")


@pytest.mark.parametrize("password", [ODD_PASSWORD, None])
def test_a_snapshot_has_the_chosen_login(password: str | None) -> None:
    for _ in range(2):
        with managed("postgres", password=password, setup=schema, snapshot="1") as pg:
            assert pg.password == (password or "")
            with psycopg.connect(pg.url) as connection:
                assert connection.execute("select * from stored").fetchall() == []


@pytest.mark.parametrize("password", ["chosen", None])
@pytest.mark.parametrize("service", WITH_PASSWORD)
def test_kept_data_keep_the_login(
    service: str, password: str | None, home: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    usage = table.usage(service)
    assert usage
    with managed(service, password=password, keep_data=True) as details:
        usage.put(details, "a", "1")
    path = kept_path(caplog)
    request.addfinalizer(lambda: shutil.rmtree(path))
    with managed(service, data=path) as again:
        assert again.password == (password or "")
        assert usage.get(again, "a") == "1"
    with managed(service, data=path, password=password) as again:
        assert usage.get(again, "a") == "1"
    with pytest.raises(InvalidOption, match="the data keep the password that they were created with"):
        managed(service, data=path, password="another")


# -- settings that contradict it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "settings", "problem"),
    [
        ("redis", {"user": "default off"}, "servicectx logs in as 'default', and defines the user 'default'"),
        ("redis", {"User": '"default" on >other ~* +@all'}, "servicectx logs in as 'default'"),
        ("redis", {"aclfile": "/etc/redis/users.acl"}, "'aclfile' is set by servicectx"),
        ("redis", {"requirepass": "other"}, "'requirepass' is set by servicectx"),
        ("redis", {"unixsocket": "/tmp/x"}, "'unixsocket' is set by servicectx"),
        ("redis", {"rename-command": "AUTH login"}, "servicectx needs the command AUTH"),
        ("redis", {"rename-command": 'PING ""'}, "servicectx needs the command PING"),
        ("postgres", {"hba_file": "/etc/pg_hba.conf"}, "'hba_file' is set by servicectx"),
        ("postgres", {"unix_socket_directories": "/tmp"}, "'unix_socket_directories' is set by servicectx"),
        ("mariadb", {"port": 3306}, "'port' is set by servicectx"),
        ("mariadb", {"loose-port": 3306}, "'port' is set by servicectx"),
        ("mariadb", {"bind_addr": "0.0.0.0"}, "'bind-address' is set by servicectx"),
        ("mariadb", {"skip_grant_tables": True}, "'skip-grant-tables' is set by servicectx"),
        ("memcached", {"auth-file": "/tmp/x"}, "'auth-file' is set by servicectx"),
        ("memcached", {"unix_socket": "/tmp/x"}, "'unix-socket' is set by servicectx"),
    ],
)
def test_settings_that_contradict_the_address_or_the_login(
    service: str, settings: dict[str, Any], problem: str, home: Path
) -> None:
    with pytest.raises(InvalidOption) as caught:
        managed(service, settings=settings).__enter__()
    assert caught.value.option == "settings"
    assert problem in caught.value.problem
    assert list(home.glob("*/*.json")) == []


# Other addresses, protocols and logins, files with any setting, and data outside the data directory.
REFUSED: dict[str, tuple[str, ...]] = {
    "asgi": ("host", "port", "fd", "uds"),
    "cockroach": ("server.host_based_authentication.configuration",),
    "elasticsearch": ("http.bind_host", "network.bind_host", "transport.bind_host"),
    "etcd": (
        *("config-file", "enable-grpc-gateway", "listen-client-http-urls", "host-whitelist", "proxy", "wal-dir"),
        *("listen-client-urls", "cert-file"),
    ),
    "mariadb": (
        *("require-secure-transport", "loose_require_secure_transport"),
        *("enable-skip-networking", "loose-enable-skip_grant_tables", "skip-bind-address"),
    ),
    "memcached": ("protocol", "proto"),
    "mongodb": ("requireApiVersion",),
    "moto": ("MOTO_PORT",),
    "mqtt": (
        *("mount_point", "protocol", "socket_domain", "bind_interface", "crlfile", "include_dir", "clientid_prefixes"),
        *("use_username_as_clientid", "listener"),
    ),
    "nats": ("listen", "tls"),
    "opensearch": ("http.bind_host", "network.bind_host", "transport.bind_host"),
    "postgres": ("db_user_namespace",),
    "rabbitmq": ("management.listener.port", "listeners.tcp.local"),
    "s3": ("ip.bind", "config"),
    "smtp": (
        *("handler", "loop", "authenticator", "auth_required", "auth_require_tls", "tls_context"),
        *("require_starttls", "proxy_protocol_timeout"),
    ),
    "vault": ("listener", "storage"),
    "wsgi": ("bind", "listen", "host", "port", "sockets", "unix_socket", "post_worker_init", "reload", "daemon"),
    "zookeeper": ("sessionRequireClientSASLAuth", "enforce.auth.enabled", "enforce.auth.schemes", "secureClientPort"),
}


@pytest.mark.parametrize("service", REFUSED)
def test_settings_that_contradict_it_are_refused_before_the_start(service: str) -> None:
    for name in REFUSED[service]:
        with pytest.raises(InvalidOption, match="is set by servicectx") as caught:
            accounts.plan_of(registry.find(service), settings={name: "1"})
        assert caught.value.option == "settings"


@pytest.mark.parametrize("service", ["elasticsearch", "opensearch"])
def test_a_nested_setting_has_the_name_of_a_dotted_one(service: str) -> None:
    with pytest.raises(InvalidOption, match=r"'network\.bind_host' is set by servicectx"):
        accounts.plan_of(registry.find(service), settings={"network": {"bind_host": "0.0.0.0"}})


@pytest.mark.parametrize("line", ["default on", "ada off"])
def test_the_users_of_a_chosen_login_of_redis_are_no_settings(line: str) -> None:
    with pytest.raises(InvalidOption, match=f"logs in as 'ada', and defines the user '{line.split()[0]}'"):
        managed("redis", user="ada", settings={"user": line}).__enter__()


@pytest.mark.parametrize("options", [{}, {"user": "ada"}])
def test_other_users_of_redis_are_possible(options: dict[str, Any]) -> None:
    with managed("redis", settings={"user": "alice on >secret ~* +@all"}, **options) as redis:
        url = f"redis://alice:secret@{redis.host}:{redis.port}/0"
        with redis_client.Redis.from_url(url) as connection:
            assert connection.acl_whoami() == "alice"


def test_a_command_of_redis_may_get_another_name() -> None:
    with (
        managed("redis", settings={"rename-command": 'FLUSHALL ""'}) as redis,
        redis_client.Redis.from_url(redis.url) as connection,
        pytest.raises(redis_client.ResponseError),
    ):
        connection.flushall()


def test_an_included_file_does_not_move_redis(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("port 1\nrequirepass other\nmaxclients 77\n")
    with managed("redis", settings={"include": str(tmp_path / "more.conf")}) as redis:
        assert isinstance(redis, RedisDetails)
        with redis_client.Redis.from_url(redis.url) as connection:
            assert connection.config_get("maxclients") == {"maxclients": "77"}


def test_mariadb_without_a_password_accepts_none() -> None:
    with managed("mariadb", password=None) as mariadb:
        assert mariadb.connect_args["password"] == ""
        assert query(mariadb, "select user()") == [("root@127.0.0.1",)]
