"""`env()` of every service: each variable with its value; `docs/variables.md` shows the same values."""

import subprocess
import sys
from pathlib import Path

import pytest

from servicectx import MariadbDetails, PostgresDetails, RabbitmqDetails, RedisDetails, isolated, managed
from servicectx.cli import variables as combined
from tests.cli.command import cli
from tests.services import variables as samples

EXPECTED: dict[str, dict[str, str]] = {
    "asgi": {
        "NAME_URL": "http://HOST:6543",
        "NAME_HOST": "HOST",
        "NAME_PORT": "6543",
    },
    "cockroach": {
        "PGHOST": "HOST",
        "PGPORT": "6543",
        "PGUSER": "USER",
        "PGPASSWORD": "PASSWORD",
        "PGDATABASE": "DBNAME",
        "POSTGRES_HOST": "HOST",
        "POSTGRES_PORT": "6543",
        "POSTGRES_USER": "USER",
        "POSTGRES_PASSWORD": "PASSWORD",
        "POSTGRES_DB": "DBNAME",
        "DATABASE_URL": "postgresql://USER:PASSWORD@HOST:6543/DBNAME",
        "COCKROACH_URL": "postgresql://USER:PASSWORD@HOST:6543/DBNAME?sslmode=require",
    },
    "command": {
        "NAME_URL": "tcp://HOST:6543",
        "NAME_HOST": "HOST",
        "NAME_PORT": "6543",
    },
    "elasticsearch": {
        "ELASTICSEARCH_URL": "http://USER:PASSWORD@HOST:6543",
        "ELASTICSEARCH_HOSTS": "http://HOST:6543",
        "ELASTICSEARCH_PREFIX": "PREFIX",
        "ELASTICSEARCH_USERNAME": "USER",
        "ELASTICSEARCH_PASSWORD": "PASSWORD",
    },
    "etcd": {
        "ETCDCTL_API": "3",
        "ETCDCTL_ENDPOINTS": "http://HOST:6543",
        "ETCDCTL_USER": "USER:PASSWORD",
        "ETCD_PREFIX": "PREFIX",
    },
    "kafka": {
        "KAFKA_BOOTSTRAP_SERVERS": "HOST:6543",
        "KAFKA_SECURITY_PROTOCOL": "SECURITY_PROTOCOL",
        "KAFKA_SASL_MECHANISM": "SASL_MECHANISM",
        "KAFKA_SASL_USERNAME": "USER",
        "KAFKA_SASL_PASSWORD": "PASSWORD",
        "KAFKA_PREFIX": "PREFIX",
    },
    "mariadb": {
        "MYSQL_HOST": "HOST",
        "MYSQL_PORT": "6543",
        "MYSQL_USER": "USER",
        "MYSQL_PASSWORD": "PASSWORD",
        "MYSQL_DATABASE": "DBNAME",
        "MARIADB_HOST": "HOST",
        "MARIADB_PORT": "6543",
        "MARIADB_USER": "USER",
        "MARIADB_PASSWORD": "PASSWORD",
        "MARIADB_DATABASE": "DBNAME",
        "MYSQL_TCP_PORT": "6543",
        "MYSQL_PWD": "PASSWORD",
        "DATABASE_URL": "mysql://USER:PASSWORD@HOST:6543/DBNAME",
    },
    "memcached": {
        "MEMCACHED_SERVERS": "HOST:6543",
        "MEMCACHE_SERVERS": "HOST:6543",
        "MEMCACHED_HOST": "HOST",
        "MEMCACHED_PORT": "6543",
        "MEMCACHED_URL": "memcached://HOST:6543",
        "MEMCACHED_PREFIX": "PREFIX",
    },
    "mongodb": {
        "MONGODB_URI": "mongodb://USER:PASSWORD@HOST:6543/DBNAME?authSource=admin",
        "MONGODB_URL": "mongodb://USER:PASSWORD@HOST:6543/DBNAME?authSource=admin",
        "MONGO_URL": "mongodb://USER:PASSWORD@HOST:6543/DBNAME?authSource=admin",
        "MONGODB_HOST": "HOST",
        "MONGODB_PORT": "6543",
        "MONGODB_DATABASE": "DBNAME",
        "MONGODB_USERNAME": "USER",
        "MONGODB_PASSWORD": "PASSWORD",
    },
    "moto": {
        "AWS_ENDPOINT_URL": "http://HOST:6543",
        "AWS_ACCESS_KEY_ID": "ACCESS_KEY",
        "AWS_SECRET_ACCESS_KEY": "SECRET_KEY",
        "AWS_DEFAULT_REGION": "REGION",
        "AWS_REGION": "REGION",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
    },
    "mqtt": {
        "MQTT_URL": "mqtt://USER:PASSWORD@HOST:6543",
        "MQTT_HOST": "HOST",
        "MQTT_PORT": "6543",
        "MQTT_USERNAME": "USER",
        "MQTT_PASSWORD": "PASSWORD",
        "MQTT_PREFIX": "PREFIX",
    },
    "nats": {
        "NATS_URL": "nats://USER:PASSWORD@HOST:6543",
        "NATS_USER": "USER",
        "NATS_PASSWORD": "PASSWORD",
        "NATS_PREFIX": "PREFIX",
    },
    "opensearch": {
        "OPENSEARCH_URL": "http://USER:PASSWORD@HOST:6543",
        "OPENSEARCH_HOSTS": "http://HOST:6543",
        "OPENSEARCH_PREFIX": "PREFIX",
        "OPENSEARCH_USERNAME": "USER",
        "OPENSEARCH_PASSWORD": "PASSWORD",
    },
    "postgres": {
        "PGHOST": "HOST",
        "PGPORT": "6543",
        "PGUSER": "USER",
        "PGPASSWORD": "PASSWORD",
        "PGDATABASE": "DBNAME",
        "POSTGRES_HOST": "HOST",
        "POSTGRES_PORT": "6543",
        "POSTGRES_USER": "USER",
        "POSTGRES_PASSWORD": "PASSWORD",
        "POSTGRES_DB": "DBNAME",
        "DATABASE_URL": "postgresql://USER:PASSWORD@HOST:6543/DBNAME",
    },
    "rabbitmq": {
        "AMQP_URL": "amqp://USER:PASSWORD@HOST:6543/VHOST",
        "RABBITMQ_URL": "amqp://USER:PASSWORD@HOST:6543/VHOST",
        "CELERY_BROKER_URL": "amqp://USER:PASSWORD@HOST:6543/VHOST",
        "RABBITMQ_HOST": "HOST",
        "RABBITMQ_PORT": "6543",
        "RABBITMQ_USER": "USER",
        "RABBITMQ_PASSWORD": "PASSWORD",
        "RABBITMQ_VHOST": "VHOST",
    },
    "redis": {
        "REDIS_URL": "redis://USER:PASSWORD@HOST:6543/7",
        "VALKEY_URL": "valkey://USER:PASSWORD@HOST:6543/7",
        "REDIS_USERNAME": "USER",
        "REDIS_HOST": "HOST",
        "REDIS_PORT": "6543",
        "REDIS_DB": "7",
        "REDIS_PASSWORD": "PASSWORD",
        "REDISCLI_AUTH": "PASSWORD",
        "VALKEYCLI_AUTH": "PASSWORD",
    },
    "s3": {
        "AWS_ENDPOINT_URL": "http://HOST:6543",
        "AWS_ACCESS_KEY_ID": "ACCESS_KEY",
        "AWS_SECRET_ACCESS_KEY": "SECRET_KEY",
        "AWS_DEFAULT_REGION": "REGION",
        "AWS_REGION": "REGION",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "S3_ENDPOINT_URL": "http://HOST:6543",
        "S3_ENDPOINT": "http://HOST:6543",
        "S3_ACCESS_KEY_ID": "ACCESS_KEY",
        "S3_SECRET_ACCESS_KEY": "SECRET_KEY",
        "S3_REGION": "REGION",
        "S3_BUCKET": "BUCKET",
    },
    "smtp": {
        "SMTP_HOST": "HOST",
        "SMTP_PORT": "6543",
        "EMAIL_HOST": "HOST",
        "EMAIL_PORT": "6543",
        "SMTP_URL": "smtp://USER:PASSWORD@HOST:6543",
        "EMAIL_URL": "smtp://USER:PASSWORD@HOST:6543",
        "SMTP_USER": "USER",
        "SMTP_USERNAME": "USER",
        "SMTP_PASSWORD": "PASSWORD",
        "EMAIL_HOST_USER": "USER",
        "EMAIL_HOST_PASSWORD": "PASSWORD",
        "MAILDIR": "/MAILDIR",
    },
    "temporal": {
        "TEMPORAL_ADDRESS": "HOST:6543",
        "TEMPORAL_NAMESPACE": "NAMESPACE",
    },
    "vault": {
        "VAULT_ADDR": "http://HOST:6543",
        "VAULT_TOKEN": "TOKEN",
        "VAULT_MOUNT": "MOUNT",
        "BAO_ADDR": "http://HOST:6543",
        "BAO_TOKEN": "TOKEN",
        "BAO_MOUNT": "MOUNT",
    },
    "wsgi": {
        "NAME_URL": "http://HOST:6543",
        "NAME_HOST": "HOST",
        "NAME_PORT": "6543",
    },
    "zookeeper": {
        "ZOOKEEPER_HOSTS": "HOST:6543/PREFIX",
        "ZK_HOSTS": "HOST:6543/PREFIX",
    },
}


# The variables that are different with `socket=True`; None: absent, and removed from the caller's environment.
SOCKETS: dict[str, dict[str, str | None]] = {
    "postgres": {"PGHOST": "/run", "DATABASE_URL": "postgresql://USER:PASSWORD@/DBNAME?host=/run&port=6543"},
    "redis": dict.fromkeys(("REDIS_URL", "VALKEY_URL"), "unix://USER:PASSWORD@/run/s.6543?db=7"),
    "mariadb": {
        "MYSQL_HOST": "localhost",
        "MYSQL_UNIX_PORT": "/run/s.6543",
        "DATABASE_URL": "mysql://USER:PASSWORD@HOST:6543/DBNAME?unix_socket=/run/s.6543",
    },
    "memcached": {
        "MEMCACHED_SERVERS": "/run/s.6543",
        "MEMCACHE_SERVERS": "/run/s.6543",
        "MEMCACHED_URL": "unix:/run/s.6543",
        "MEMCACHED_HOST": None,
        "MEMCACHED_PORT": None,
    },
}


@pytest.mark.parametrize("service", SOCKETS)
def test_variables_of_a_unix_socket(service: str) -> None:
    port = {"port": 0} if service == "memcached" else {}
    details = samples.sample(service).model_copy(update={"socket": "/run/s.6543", **port})
    expected = {**EXPECTED[service], **SOCKETS[service]}
    assert details.env() == {name: value for name, value in expected.items() if value is not None}
    theirs = dict.fromkeys(expected, "of another server")
    assert not {name for name, value in details.environment(theirs).items() if value == "of another server"}


@pytest.mark.parametrize("service", sorted(EXPECTED))
def test_each_variable_has_its_value(service: str) -> None:
    assert samples.sample(service).env() == EXPECTED[service]


@pytest.mark.parametrize(
    ("service", "field"), [(service, field) for service in sorted(EXPECTED) for field in samples.absent(service)]
)
def test_a_variable_without_a_value_is_absent_and_unset(service: str, field: str) -> None:
    """Only S3_BUCKET stays: it names a bucket, and leads to no other server."""
    details = samples.sample(service).model_copy(update={field: ""})
    names = samples.absent(service)[field]
    assert not set(names) & set(details.env())
    removed = [] if names == ["S3_BUCKET"] else names
    assert sorted(details.unset_env(dict.fromkeys(names, "of another server"))) == sorted(removed)


def test_the_password_of_an_external_postgres_may_come_from_the_caller() -> None:
    external = PostgresDetails(service="postgres", name="p", host="h", port=1, external=True)
    assert external.unset_env({"PGPASSWORD": "mine", "POSTGRES_PASSWORD": "mine"}) == []
    assert external.environment({"PGPASSWORD": "mine"})["PGPASSWORD"] == "mine"


def test_a_program_gets_the_parts_of_a_namespace() -> None:
    names = ("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD")
    code = f"import os, redis; redis.Redis(*(os.environ[name] for name in {names})).set('a', 'b')"
    with managed("redis") as server, isolated(server) as mine:
        subprocess.run([sys.executable, "-c", code], env=mine.environment(), check=True)
        import redis

        with redis.Redis.from_url(mine.url) as client:
            assert client.get("a") == b"b"
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") is None


def test_a_command_gets_no_password_of_another_server(tmp_path: Path) -> None:
    """The server has no password, so a password of the caller's environment belongs to another one."""
    (tmp_path / "pyproject.toml").touch()
    theirs = {"REDIS_PASSWORD": "a", "REDISCLI_AUTH": "b", "SERVICECTX_EXTERNAL_WAIT": "0"}
    server = {"SERVICECTX_REDIS_DETAILS": "redis://127.0.0.1:6379"}
    show = "import os; print(sorted(name for name in os.environ if name.startswith('REDIS')))"
    done = cli("run", "redis", "--", sys.executable, "-c", show, cwd=tmp_path, env=theirs | server)
    assert done.stdout == "['REDIS_DB', 'REDIS_HOST', 'REDIS_PORT', 'REDIS_URL']\n", done.stderr


# -- several services --------------------------------------------------------------------------------------------

OPEN = PostgresDetails(service="postgres", name="orders", host="h", port=1)
SECRET = PostgresDetails(service="postgres", name="users", host="h", port=2, password="p", sslmode="require")


def test_the_first_service_supplies_shared_variables() -> None:
    mariadb = MariadbDetails(service="mariadb", name="shop", host="g", port=3)
    found, remarks = combined.of([SECRET, OPEN, mariadb])
    assert (found["PGPORT"], found["PGPASSWORD"], found["DATABASE_URL"]) == ("2", "p", SECRET.url)
    assert (found["ORDERS_URL"], found["USERS_URL"], found["SHOP_URL"]) == (OPEN.url, SECRET.url, mariadb.url)
    assert found["MYSQL_PORT"] == "3"
    orders, shop = remarks
    shared = "PGPORT, POSTGRES_PORT, DATABASE_URL"
    assert orders == f"users comes first and supplies {shared}; orders does not; orders supplies ORDERS_URL"
    assert shop == "users comes first and supplies DATABASE_URL; shop does not; shop supplies SHOP_URL"


@pytest.mark.parametrize("external", [False, True])
def test_the_second_service_adds_no_password_to_the_host_of_the_first(external: bool) -> None:
    found, _ = combined.of([OPEN.model_copy(update={"external": external}), SECRET])
    assert found["PGPORT"] == "1"
    assert not {"PGPASSWORD", "POSTGRES_PASSWORD", "PGSSLMODE"} & set(found)
    assert found["USERS_URL"] == SECRET.url


def test_each_supplier_of_shared_variables_is_named() -> None:
    rabbitmq = RabbitmqDetails(service="rabbitmq", name="redis", host="h", port=1)
    redis = RedisDetails(service="redis", name="redis2", host="h", port=2)
    third = RedisDetails(service="redis", name="rabbitmq", host="h", port=3)
    _, remarks = combined.of([rabbitmq, redis, third])
    assert [remark.partition(" ")[0] for remark in remarks] == ["redis", "redis", "redis2"]
