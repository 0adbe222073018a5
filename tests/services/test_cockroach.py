"""CockroachDB: its plan and all operations, against a stand-in program."""

import json
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from servicectx import BinaryNotFound, CockroachDetails, InvalidOption, StartFailed, isolated, managed
from servicectx.services.cockroach.service import Cockroach
from servicectx.testing import Usage, check_service
from tests import servers
from tests.services import killed, standins
from tests.services.row import Row

# No server of this kind runs where these tests run.
ROWS: list[Row] = []


@pytest.fixture(autouse=True)
def _stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("SERVICECTX_COCKROACH_BIN", str(standins.install(tmp_path / "bin", "cockroach")))


def connect(details: CockroachDetails) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(details.url, autocommit=True, cursor_factory=psycopg.ClientCursor)


TABLE = "create table if not exists kept (name text primary key, value text)"


def put(details: CockroachDetails, name: str, value: str) -> None:
    with connect(details) as connection:
        connection.execute(TABLE)
        connection.execute(
            "insert into kept values (%s, %s) on conflict (name) do update set value = excluded.value", (name, value)
        )


def get(details: CockroachDetails, name: str) -> str | None:
    with connect(details) as connection:
        connection.execute(TABLE)
        row = connection.execute("select value from kept where name = %s", (name,)).fetchone()
        return None if row is None else str(row[0])


@pytest.mark.timeout(240)
def test_it_keeps_its_promises() -> None:
    check_service("cockroach", usage=Usage(put, get), timeout=100)


def test_a_chosen_password_is_the_only_one() -> None:
    with managed("cockroach", password="a{port}#?") as details:
        assert details.password == "a{port}#?"
        put(details, "a", "1")
        with pytest.raises(psycopg.OperationalError):
            get(details.model_copy(update={"password": "guess"}), "a")
    for none in (None, False):
        with pytest.raises(InvalidOption, match="always requires a login"):
            managed("cockroach", password=none).__enter__()


def test_data_in_memory_cannot_persist() -> None:
    with pytest.raises(InvalidOption, match=r"there is nothing to keep: its store is in memory.*omit persist"):
        managed("cockroach", persist=True).__enter__()


def test_a_chosen_user_is_the_only_one_with_a_password() -> None:
    with managed("cockroach", user="ada", password="hush") as details:
        assert (details.user, details.url) == ("ada", f"postgresql://ada:hush@127.0.0.1:{details.port}/defaultdb")
        put(details, "a", "1")
        with pytest.raises(psycopg.OperationalError):
            get(details.model_copy(update={"user": "root"}), "a")
        with isolated(details) as mine:
            assert get(mine, "a") is None
    for wrong in ("", "Ada", "a b", "a" * 64, 'a"b'):
        with pytest.raises(InvalidOption, match="use 1 to 63 of a-z") as refused:
            managed("cockroach", user=wrong).__enter__()
        assert refused.value.option == "user"


def test_the_command_line_is_what_its_documentation_asks_for() -> None:
    service = Cockroach()
    options = service.options({"memory": "2GiB", "settings": {"sql.defaults.distsql": "off"}})
    program = service.program(options)
    plan = service.plan(options, program, "s3cret")
    assert plan.command[1:] == [
        "start-single-node",
        "--certs-dir={data}",
        "--accept-sql-without-tls",
        "--sql-addr={host}:{port}",
        "--listen-addr={host}:{port_rpc}",
        "--http-addr={host}:{port_http}",
        "--unencrypted-localhost-http",
        "--store=type=mem,size=2GiB",
        "--listening-url-file={dir}/url",
        "--log-config-file={dir}/log.yaml",
    ]
    assert plan.template
    assert "s3cret" not in f"{plan.command} {plan.template.command} {plan.environment} {plan.files}"
    assert plan.snapshot is None


def test_wrong_passwords_are_refused_with_tls_and_without() -> None:
    with managed("cockroach") as cockroach:
        assert cockroach.password
        for mode in ("disable", "require"):
            with psycopg.connect(f"{cockroach.url}?sslmode={mode}"):
                pass
            for wrong in ("", "guess"):
                bad = cockroach.model_copy(update={"password": wrong})
                with pytest.raises(psycopg.OperationalError, match="password"):
                    psycopg.connect(f"{bad.url}?sslmode={mode}", connect_timeout=5)


def test_the_certificates_are_made_once_and_their_key_is_kept_nowhere(home: Path, cache: Path) -> None:
    with managed("cockroach", scope="a") as first, managed("cockroach", scope="b") as second:
        assert first.password != second.password
        kept = {path.name for path in cache.glob("templates/cockroach-*/*")}
        assert {"ca.crt", "node.crt", "node.key", "client.root.crt", "client.root.key"} <= kept
        assert not [*cache.rglob("ca.key"), *home.rglob("ca.key")]


def test_options_reach_the_server() -> None:
    settings = {"sql.stats.automatic_collection.enabled": False, "jobs.retention_time": "15s", "a.b": 3}
    with managed("cockroach", dbname="shop", settings=settings) as cockroach, connect(cockroach) as connection:
        assert cockroach.dbname == "shop"
        assert cockroach.version == "25.3.1"
        for name, value in (("jobs.retention_time", "'15s'"), ("sql.stats.automatic_collection.enabled", "false")):
            assert connection.execute(f"SHOW CLUSTER SETTING {name}").fetchone() == (value,)


def test_bad_options_fail_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed, match=r'unknown cluster setting "no\.such"'):
        managed("cockroach", settings={"no.such": 1}).__enter__()
    with pytest.raises(StartFailed, match="bad store spec"):
        managed("cockroach", memory="much").__enter__()
    with pytest.raises(InvalidOption, match="is not the name of a cluster setting"):
        managed("cockroach", settings={"a = 1; DROP DATABASE x --": 1}).__enter__()


def test_files_are_a_set_up(tmp_path: Path) -> None:
    file = tmp_path / "schema.sql"
    file.write_text("create table note (text text);\ninsert into note values ('hello');\n")
    with managed("cockroach", setup=file) as cockroach, connect(cockroach) as connection:
        assert connection.execute("select text from note").fetchone() == ("hello",)


def test_a_namespace_left_by_the_dead_is_dropped() -> None:
    with managed("cockroach") as cockroach:
        killed.in_a_namespace(cockroach)
        with connect(cockroach) as connection:
            (left,) = connection.execute("SELECT datname FROM pg_database").fetchall()
            with isolated(cockroach) as mine:
                assert connection.execute("SELECT datname FROM pg_database").fetchall() == [(mine.dbname,)] != [left]
            assert connection.execute("SELECT datname FROM pg_database").fetchall() == []


def test_all_ports_are_chosen() -> None:
    with managed("cockroach") as cockroach:
        assert cockroach.http_port is not None
        assert servers.owner(cockroach.http_port).pid == servers.owner(cockroach.port).pid
        assert cockroach.http_url == f"http://127.0.0.1:{cockroach.http_port}"


def test_details_in_the_forms_that_clients_expect() -> None:
    details = CockroachDetails(service="cockroach", name="c", host="h", port=26257, password="p@s/s", dbname="x")
    assert details.url == "postgresql://root:p%40s%2Fs@h:26257/x"
    assert details.env()["COCKROACH_URL"] == f"{details.url}?sslmode=require"
    assert details.env()["PGPASSWORD"] == "p@s/s"
    for url in (details.sqlalchemy_url, details.async_sqlalchemy_url):
        sqlalchemy.create_engine(url)  # the dialect is installed, and accepts the URL
    assert "p@s" not in repr(details)
    insecure = details.model_copy(update={"password": ""})
    assert insecure.env()["COCKROACH_URL"] == "postgresql://root@h:26257/x?sslmode=disable"


def test_the_file_that_managed_service_fixtures_knows_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {
        "hostname": "crdb.example",
        "sql_port": 26257,
        "http_port": 8008,
        "username": "root",
        "dbname": "defaultdb",
    }
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0")
    monkeypatch.setenv("TEST_CRDB_DETAILS", json.dumps({**fields, "password": ""}))
    with managed("cockroach") as cockroach:
        assert cockroach.url == "postgresql://root@crdb.example:26257/defaultdb"
        assert (cockroach.http_port, cockroach.external) == (8008, True)
        assert {name: getattr(cockroach, name) for name in fields} == fields
        assert (cockroach.sync_dsn, cockroach.async_dsn) == (cockroach.sqlalchemy_url, cockroach.async_sqlalchemy_url)
        assert (cockroach.webui, cockroach.is_manager) == ("http://crdb.example:8008", True)


def test_without_its_program_the_error_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_COCKROACH_BIN", str(tmp_path))
    with pytest.raises(BinaryNotFound, match="brew install cockroachdb/tap/cockroach"):
        managed("cockroach").__enter__()
