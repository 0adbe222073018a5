"""Variables of the caller for other servers: they lead no client there."""

import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import servicectx
from servicectx import MotoDetails, PostgresDetails, managed
from servicectx.services import binaries, libpq, registry
from servicectx.services.postgres.service import Postgres
from tests.caller.root import REQUIRED
from tests.cli.command import cli

# Programs that connect with a URL, with the keyword form, or with the environment alone; each prints the server's port.
PORT = "select current_setting('port')"
CLIENTS = {
    "psycopg": f"import psycopg; print(psycopg.connect(pg.url).execute({PORT!r}).fetchone()[0])",
    "psycopg-dsn": f"import psycopg; print(psycopg.connect(pg.dsn).execute({PORT!r}).fetchone()[0])",
    "asyncpg": (
        "import asyncio, asyncpg\n"
        "async def main():\n"
        "    link = await asyncpg.connect(pg.url)\n"
        f"    print(await link.fetchval({PORT!r})); await link.close()\n"
        "asyncio.run(main())"
    ),
    "sqlalchemy": (
        "import sqlalchemy as s\n"
        f"with s.create_engine(pg.sqlalchemy_url).connect() as c: print(c.execute(s.text({PORT!r})).scalar())"
    ),
    "sqlalchemy-asyncpg": (
        "import asyncio, sqlalchemy as s; from sqlalchemy.ext.asyncio import create_async_engine\n"
        "async def main():\n"
        "    engine = create_async_engine(pg.async_sqlalchemy_url)\n"
        f"    async with engine.connect() as c: print(await c.scalar(s.text({PORT!r})))\n"
        "    await engine.dispose()\n"
        "asyncio.run(main())"
    ),
    "psycopg2": (
        "import psycopg2\n"
        f"link = psycopg2.connect(pg.url); cursor = link.cursor(); cursor.execute({PORT!r})\n"
        "print(cursor.fetchone()[0])"
    ),
}
FROM_ENVIRONMENT = {
    "psycopg": f"import psycopg; print(psycopg.connect('').execute({PORT!r}).fetchone()[0])",
    "asyncpg": CLIENTS["asyncpg"].replace("pg.url", ""),
    "DATABASE_URL": CLIENTS["psycopg"].replace("pg.url", "__import__('os').environ['DATABASE_URL']"),
}
HEAD = "import sys; from servicectx import PostgresDetails; pg = PostgresDetails.parse(sys.argv[1])\n"


@pytest.fixture(scope="module")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgresDetails, PostgresDetails]]:
    home = tmp_path_factory.mktemp("home", numbered=True)
    home.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVICECTX_HOME", str(home))
        with managed("postgres") as ours, managed("postgres", name="other") as other:
            yield ours, other


@pytest.fixture
def ours(_servers: tuple[PostgresDetails, PostgresDetails]) -> PostgresDetails:
    return _servers[0]


@pytest.fixture
def hostile(_servers: tuple[PostgresDetails, PostgresDetails], tmp_path: Path) -> dict[str, str]:
    """The caller's environment: a service file for the other server, and all other variables of libpq."""
    other = _servers[1]
    file = tmp_path / "services.conf"
    file.write_text(
        f"[other]\nhost=127.0.0.1\nhostaddr=127.0.0.1\nport={other.port}\nuser={other.user}\n"
        f"password={other.password}\ndbname={other.dbname}\nsslmode=require\ntarget_session_attrs=standby\n"
        "options=-c search_path=other\n"
    )
    return {
        "PGSERVICE": "other",
        "PGSERVICEFILE": str(file),
        "PGHOSTADDR": "127.0.0.9",
        "PGPORT": str(other.port),
        "PGPASSWORD": other.password,
        "PGSSLMODE": "require",
        "PGTARGETSESSIONATTRS": "standby",
        "PGOPTIONS": "-c no_such_setting=1",
        "PGREQUIREPEER": "nobody",
        "PGPASSFILE": str(tmp_path / "none"),
    }


HARDER = {
    "PGCHANNELBINDING": "require",
    "PGGSSENCMODE": "require",
    "PGREQUIREAUTH": "none",
    "PGSSLNEGOTIATION": "direct",
}


def run(script: str, environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("client", CLIENTS)
def test_urls_lead_to_our_server(client: str, ours: PostgresDetails, hostile: dict[str, str]) -> None:
    service = {name: hostile.pop(name) for name in ("PGSERVICE", "PGSERVICEFILE")}
    for chosen in (service, hostile, service | hostile):
        assert run(HEAD + CLIENTS[client], os.environ | chosen, ours.model_dump_json()) == str(ours.port), chosen


def test_the_keyword_form_says_all_that_libpq_knows(ours: PostgresDetails, hostile: dict[str, str]) -> None:
    for client in ("psycopg-dsn", "sqlalchemy"):
        output = run(HEAD + CLIENTS[client], os.environ | hostile | HARDER, ours.model_dump_json())
        assert output == str(ours.port)


@pytest.mark.parametrize("client", FROM_ENVIRONMENT)
def test_the_environment_leads_to_our_server(
    client: str, ours: PostgresDetails, hostile: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (hostile | HARDER).items():
        monkeypatch.setenv(name, value)
    assert run(FROM_ENVIRONMENT[client], ours.environment()) == str(ours.port)
    assert run(FROM_ENVIRONMENT[client], ours.environment(os.environ)) == str(ours.port)
    assert set(ours.unset_env()) == {*hostile, *HARDER} - {"PGPORT", "PGPASSWORD"}
    monkeypatch.delenv("PGSERVICE")
    assert run(FROM_ENVIRONMENT[client], os.environ | ours.env()) == str(ours.port)


def test_psql_of_the_environment(ours: PostgresDetails, hostile: dict[str, str]) -> None:
    psql = binaries.find(Postgres.shell)
    command = [psql, "--no-psqlrc", "-Atc", PORT]
    environment = ours.environment({**os.environ, **hostile, **HARDER})
    assert subprocess.check_output(command, env=environment, text=True).strip() == str(ours.port)


def test_every_variable_of_libpq_is_decided_on(ours: PostgresDetails) -> None:
    """The list of psycopg's libpq: a newer version may add variables."""
    known = {entry.envvar.decode() for entry in psycopg.pq.Conninfo.get_defaults() if entry.envvar}
    assert not known - set(libpq.UNSET) - set(libpq.KEPT) - set(ours.env())


def test_without_such_variables_urls_stay_plain(ours: PostgresDetails) -> None:
    plain = f"postgresql://postgres:{ours.password}@127.0.0.1:{ours.port}/postgres"
    assert (ours.url, ours.unset_env()) == (plain, [])
    assert ours.env()["DATABASE_URL"] == plain
    assert ours.environment({"A": "1", "PGAPPNAME": "mine"}) == {"A": "1", "PGAPPNAME": "mine", **ours.env()}


def test_a_server_from_outside_keeps_the_caller_s_security(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = PostgresDetails(service="postgres", name="p", host="db.example", port=5432, external=True)
    for name, value in {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/ca", "PGPASSFILE": "/pass"}.items():
        monkeypatch.setenv(name, value)
    assert outside.url == "postgresql://postgres@db.example:5432/postgres"
    assert outside.unset_env() == []
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.9")
    assert outside.unset_env() == ["PGHOSTADDR"]
    assert outside.url.endswith("/postgres?hostaddr=")
    secured = outside.model_copy(update={"sslmode": "require"})
    assert secured.env()["PGSSLMODE"] == "require"
    assert "sslmode='require'" in secured.dsn
    assert "sslmode=require" in secured.url
    assert "sslmode=require" in secured.sqlalchemy_url
    assert "ssl=require" in secured.async_sqlalchemy_url
    assert PostgresDetails.from_url(secured.url).sslmode == "require"


# -- the command line --------------------------------------------------------------------------------------------


def test_the_command_line_leads_to_our_server(tmp_path: Path, hostile: dict[str, str]) -> None:
    (tmp_path / "pyproject.toml").touch()
    done = cli("up", "-q", "postgres", cwd=tmp_path, env=hostile)
    assert done.returncode == 0, done.stderr
    try:
        port = json.loads(cli("details", cwd=tmp_path).stdout)["port"]
        arguments = ("psql", "--no-psqlrc", "-Atc", PORT)
        assert cli("run", "-q", "postgres", "--", *arguments, cwd=tmp_path, env=hostile).stdout.strip() == str(port)
        shell = cli("shell", "postgres", "--", "--no-psqlrc", "-Atc", PORT, cwd=tmp_path, env=hostile)
        assert shell.stdout.strip() == str(port), shell.stderr
        script = f'eval "$({sys.executable} -m servicectx env)" && psql --no-psqlrc -Atc "{PORT}"'
        done = subprocess.run(
            ["sh", "-c", script], env=os.environ | hostile, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.stdout.strip() == str(port), done.stderr
        lines = cli("env", "--format", "fish", cwd=tmp_path, env=hostile).stdout.splitlines()
        assert "set -e PGSERVICE" in lines
        dotenv = cli("env", "--format", "dotenv", cwd=tmp_path, env=hostile)
        assert "PGSERVICE" not in dotenv.stdout
        assert "unset PGSERVICE" in dotenv.stderr
    finally:
        cli("down", cwd=tmp_path)


# -- other clients -----------------------------------------------------------------------------------------------


class Trap:
    """A listener that counts connections: no client may connect."""

    def __init__(self) -> None:
        trap = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                trap.count += 1

        self.count = 0
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> "Trap":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


BOTO3 = (
    "import boto3; boto3.client('s3').create_bucket(Bucket='mine')\n"
    "print(len(boto3.client('s3').list_buckets()['Buckets']))"
)


def test_aws_clients_reach_moto(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "[default]\nignore_configured_endpoint_urls = true\n[profile mine]\nregion = eu-1\nendpoint_url = http://10.0.0.1\n"
    )
    with Trap() as trap, managed("moto") as moto:
        theirs = {
            "AWS_ENDPOINT_URL_S3": trap.url,
            "AWS_PROFILE": "missing",
            "AWS_SESSION_TOKEN": "old",
            "AWS_CREDENTIAL_EXPIRATION": "2001-01-01T00:00:00Z",
            "AWS_USE_FIPS_ENDPOINT": "true",
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
        }
        assert run(BOTO3, moto.environment({**os.environ, **theirs})) == "1"
        assert trap.count == 0


def test_a_proxy_does_not_get_what_is_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import os, urllib.request as u; print(u.urlopen(os.environ['VAULT_ADDR'] + '/v1/sys/health').status)"
    with Trap() as proxy, managed("vault") as vault:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "example.com")
        monkeypatch.delenv("no_proxy", raising=False)
        assert vault.env()["NO_PROXY"] == vault.env()["no_proxy"] == "example.com,127.0.0.1"
        assert run(script, vault.environment()) == "200"
        assert run(script, os.environ | vault.env()) == "200"
        assert proxy.count == 0
        far = vault.model_copy(update={"host": "vault.example", "external": True})
        assert "NO_PROXY" not in far.env()


def test_vault_clients_reach_ours(tmp_path: Path) -> None:
    program = _vault_program()
    with Trap() as trap, managed("vault") as vault:
        theirs = {
            f"{tool}_{name}": value
            for tool in ("VAULT", "BAO")
            for name, value in {
                "AGENT_ADDR": trap.url,
                "PROXY_ADDR": trap.url,
                "HTTP_PROXY": trap.url,
                "NAMESPACE": "theirs",
                "CACERT": str(tmp_path / "none"),
                "TLS_SERVER_NAME": "x",
                "WRAP_TTL": "5m",
            }.items()
        }
        environment = vault.environment({**os.environ, **theirs, "HOME": str(tmp_path)})
        command = [program, "kv", "put", f"-mount={vault.mount}", "a", "b=c"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert trap.count == 0
        script = "import hvac; c = hvac.Client(); print(c.secrets.kv.v2.read_secret('a')['data']['data'])"
        assert run(script, environment) == "{'b': 'c'}"


def _vault_program() -> str:
    service: Any = registry.find("vault")
    program: str = service.program(service.options({}))
    return program


def test_etcdctl_of_the_shell_takes_endpoints(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    with Trap() as trap, managed("etcd", scope=f"project:{tmp_path}", linger=60) as etcd:
        theirs = {"ETCDCTL_ENDPOINTS": trap.url, "ETCDCTL_CACERT": "/none", "ETCDCTL_DIAL_TIMEOUT": "1s"}
        for arguments in (("put", "a", "b"), ("--endpoints", etcd.url, "get", "a")):
            done = cli("shell", "etcd", "--", *arguments, cwd=tmp_path, env=theirs)
            assert done.returncode == 0, done.stderr
        assert done.stdout == "a\nb\n"
        program = binaries.find(registry.find("etcd").shell)  # type: ignore[attr-defined]
        environment = etcd.environment({**os.environ, **theirs})
        command = [program, "get", "a"]
        assert subprocess.check_output(command, env=environment, text=True, timeout=30) == "a\nb\n"
        del environment["ETCDCTL_ENDPOINTS"]
        command = [program, f"--endpoints={etcd.url}", "get", "a"]
        assert subprocess.check_output(command, env=environment, text=True, timeout=30) == "a\nb\n"
        assert trap.count == 0
    cli("down", cwd=tmp_path)


def test_redis_cli_has_no_password_of_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    open_to_all = servicectx.RedisDetails(service="redis", name="r", host="h", port=1)
    monkeypatch.setenv("REDISCLI_AUTH", "theirs")
    assert open_to_all.unset_env() == ["REDISCLI_AUTH"]
    assert "REDISCLI_AUTH" not in open_to_all.environment()
    ours = open_to_all.model_copy(update={"password": "ours"})
    assert ours.unset_env() == []
    assert ours.environment()["REDISCLI_AUTH"] == "ours"


@pytest.mark.skipif(shutil.which("mariadb") is None and not REQUIRED, reason="needs the program mariadb")
def test_mariadb_s_client_is_not_led_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "my.cnf").write_text("[client]\nhost=10.0.0.1\nport=1\nuser=other\n")
    (tmp_path / "pyproject.toml").touch()
    with managed("mariadb", scope=f"project:{tmp_path}") as mariadb:
        theirs = {**os.environ, "MYSQL_HOME": str(tmp_path), "MYSQL_UNIX_PORT": "/none", "MYSQL_GROUP_SUFFIX": "_x"}
        environment = mariadb.environment(theirs)
        command = ["mariadb", "-u", mariadb.user, "-BNe", "select @@port", mariadb.dbname]
        assert subprocess.check_output(command, env=environment, text=True).strip() == str(mariadb.port)
        shutil.copy(tmp_path / "my.cnf", tmp_path / ".my.cnf")
        environment = {"HOME": str(tmp_path), "MYSQL_HOME": str(tmp_path)}
        done = cli("shell", "mariadb", "--", "-BNe", "select @@port", cwd=tmp_path, env=environment)
        assert done.stdout.strip() == str(mariadb.port), done.stderr


def test_the_caller_s_own_variables_stay() -> None:
    """Only variables that clients of the service read are removed."""
    theirs = {"NATS_STREAM": "orders", "TEMPORAL_TASK_QUEUE": "q", "REDIS_HOST": "r", "AWS_LAMBDA_NAME": "f"}
    moto = MotoDetails(service="moto", name="moto", host="127.0.0.1", port=5000)
    assert theirs.items() <= moto.environment(theirs).items()
    for service in ("nats", "temporal", "redis"):
        model = registry.find(service).details_model()
        details = model(service=service, name="x", host="127.0.0.1", port=1)
        assert details.unset_env(theirs) == []


def test_the_local_name_is_loopback() -> None:
    from servicectx.services.proxies import is_loopback

    assert is_loopback("localhost")
    assert is_loopback("::1")
    assert not is_loopback(socket.gethostname() + ".example")
