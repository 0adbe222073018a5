"""URLs as external details: every service has a form, and unsupported parts are refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

import servicectx
from servicectx import DetailsError, ServiceDetails, managed
from servicectx.services import registry
from tests.services import table

ACCEPTED: list[tuple[str, str, dict[str, Any]]] = [
    ("postgres", "postgresql://user:p%40ss@db/x", {"user": "user", "password": "p@ss", "dbname": "x", "port": 5432}),
    ("postgres", "postgres://ada@[::1]:6000", {"user": "ada", "host": "::1", "port": 6000, "dbname": "ada"}),
    ("postgres", "postgresql+psycopg://u:p@h/d%2Fb?sslmode=require", {"dbname": "d/b", "sslmode": "require"}),
    ("postgres", "postgresql://h/x?user=u&password=p%26", {"user": "u", "password": "p&"}),
    ("postgres", "db:7000", {"host": "db", "port": 7000, "user": "postgres", "dbname": "postgres"}),
    ("cockroach", "cockroachdb://root@h/defaultdb", {"port": 26257, "user": "root"}),
    ("cockroach", "postgresql://ada@h:1", {"dbname": "defaultdb", "user": "ada"}),
    ("mariadb", "mysql+pymysql://u:p@h/shop", {"port": 3306, "user": "u", "dbname": "shop"}),
    ("mariadb", "mariadb://h:3307", {"port": 3307}),
    ("redis", "redis://:p%3A@h/3", {"port": 6379, "password": "p:", "db": 3}),
    ("redis", "valkey://default:p@h:1", {"user": "", "password": "p", "db": 0}),
    ("redis", "redis://h?db=2", {"db": 2}),
    ("redis", "redis://a%2Fda:p@h", {"user": "a/da", "password": "p"}),
    ("rabbitmq", "amqp://u:p@h/%2F", {"port": 5672, "vhost": "/"}),
    ("rabbitmq", "amqp://u:p@h", {"vhost": "/"}),
    ("rabbitmq", "pyamqp://u:p@h/shop", {"vhost": "shop"}),
    ("mongodb", "mongodb://u:p@h/shop", {"port": 27017, "auth_source": "shop"}),
    ("mongodb", "mongodb://u:p@h/shop?authSource=admin", {"auth_source": "admin"}),
    ("mongodb", "mongodb://h", {"auth_source": "admin", "dbname": "test"}),
    ("nats", "nats://u:p@h", {"port": 4222, "user": "u", "password": "p"}),
    ("moto", "http://h:5000?account=111111111111", {"account": "111111111111"}),
    ("s3", "https://KEY:se%2Fcret@h/bucket?region=eu-1", {"scheme": "https", "port": 443, "bucket": "bucket"}),
    ("s3", "http://h:9000?access_key=a&secret_key=b", {"access_key": "a", "secret_key": "b"}),
    ("vault", "http://tok@h:8200", {"token": "tok"}),
    ("vault", "https://h:8200/?token=tok&mount=kv", {"token": "tok", "mount": "kv", "scheme": "https"}),
    ("elasticsearch", "https://elastic:p@h:9200", {"user": "elastic", "scheme": "https"}),
    ("opensearch", "http://h", {"port": 80, "user": ""}),
    ("kafka", "kafka://h", {"port": 9092, "security_protocol": "PLAINTEXT"}),
    ("kafka", "kafka.example:9093", {"host": "kafka.example", "port": 9093}),
    ("kafka", "kafka://u:p@h", {"sasl_mechanism": "PLAIN", "security_protocol": "SASL_PLAINTEXT"}),
    ("kafka", "kafka://u:p@h?sasl_mechanism=SCRAM-SHA-256", {"sasl_mechanism": "SCRAM-SHA-256"}),
    ("memcached", "memcached://h", {"port": 11211}),
    ("mqtt", "mqtt://u:p@h", {"port": 1883, "user": "u"}),
    ("smtp", "smtp://u:p@h:587", {"port": 587, "user": "u"}),
    ("etcd", "http://root:p@h", {"port": 2379, "user": "root"}),
    ("zookeeper", "zk1:2181/kafka/x", {"host": "zk1", "prefix": "/kafka/x"}),
    ("zookeeper", "zookeeper://h", {"port": 2181, "prefix": ""}),
    ("temporal", "h:7234", {"port": 7234, "namespace": "default"}),
    ("temporal", "temporal://h?namespace=mine", {"namespace": "mine", "port": 7233}),
    ("asgi", "https://app.test", {"scheme": "https", "port": 443}),
    ("wsgi", "http://app.test:8000/", {"port": 8000}),
    ("command", "ftp://h:21", {"scheme": "ftp", "port": 21}),
]
ACCEPTED += [(name, *given) for name in registry.BUILT_IN for given in table.declared(name, "URLS") or ()]


@pytest.mark.parametrize(("service", "url", "fields"), ACCEPTED, ids=[url for _, url, _ in ACCEPTED])
def test_a_url_is_accepted(service: str, url: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0")
    monkeypatch.setenv("SERVICECTX_SHOP_DETAILS", f" {url}\n")
    with managed(service, name="shop") as details:
        assert {name: getattr(details, name) for name in fields} == fields
        assert (details.service, details.name, details.external) == (service, "shop", True)
        model = type(details)
        again = model.from_url(details.url, service=service, name="shop", external=True)
        unknown = {"access_key", "secret_key", "bucket", "region", "token", "mount", "security_protocol"}
        unknown |= {"sasl_mechanism", "namespace", "account"}
        unknown |= {"user", "password"} if service == "etcd" else set()  # fields that etcd's URL does not hold
        same = {name: value for name, value in details.model_dump().items() if name not in unknown}
        assert {name: value for name, value in again.model_dump().items() if name not in unknown} == same


def test_every_service_has_a_form() -> None:
    without = set(registry.BUILT_IN) - {service for service, _, _ in ACCEPTED}
    assert not without, f"write URLS, a list of (url, fields), into the test file of {without}"


REFUSED: list[tuple[str, str, str]] = [
    ("postgres", "postgresql://user:secret@h:port/x", "port is not a number"),
    ("postgres", "postgresql://user:sec/ret@h/x", "write / as %2F"),
    ("postgres", "postgresql://user:a#secret@h/x", "write it as %23"),
    ("postgres", "postgresql://user:secret@h:0/x", "port is not a number from 1 to 65535"),
    ("postgres", "postgresql://user:secret@h:70000/x", "port is not a number from 1 to 65535"),
    ("postgres", "postgresql://user:secret@h1:1,h2:2/x", "names several servers"),
    ("postgres", "postgresql:///x?host=/run/secret", "the URL has no host"),
    ("postgres", "postgresql://user:secret@::1/x", "stands in brackets"),
    ("postgres", "postgresql://user:secret@h/x?channel_binding=secret", "parameter 'channel_binding' cannot be held"),
    ("postgres", "postgresql://user:secret@h/x?sslmode=secret", "Input should be 'disable'"),
    ("postgres", "postgresql://user:secret@h/x?target_session_attrs=secret", "'target_session_attrs' cannot be held"),
    ("postgres", "postgresql://user:secret%FF@h/x", "not UTF-8"),
    ("postgres", "postgresql://user:secret%0A@h/x", "newline or another control character"),
    ("postgres", "postgresql://user:secret@h/x?user=other", "gives it twice"),
    ("postgres", "mysql://user:secret@h/x", "mysql:// is not a URL of this service; known: postgresql://, postgres://"),
    ("redis", "rediss://:secret@h", "rediss:// means TLS"),
    ("redis", "redis://:secret@h/secret", "valid integer"),
    ("redis", "redis+sentinel://:secret@h", "is not a URL of this service"),
    ("mongodb", "mongodb+srv://u:secret@h/x", "mongodb+srv:// is not a URL"),
    ("mongodb", "mongodb://u:secret@h/x?replicaSet=secret", "'replicaSet' cannot be held"),
    ("rabbitmq", "amqps://u:secret@h", "amqps:// means TLS"),
    ("vault", "http://u:secret@h", "a user and a password or token"),
    ("elasticsearch", "http://u:secret@h/secret", "the URL has a path"),
    ("etcd", "https://u:secret@h", "https:// means TLS"),
    ("asgi", "http://u:secret@h", "the URL has a password, which these details cannot hold"),
    ("command", "tcp://h", "no usual one"),
    ("kafka", "kafka1:9092,kafka2:9092", "names several servers"),
]


@pytest.mark.parametrize(("service", "url", "problem"), REFUSED, ids=[problem for _, _, problem in REFUSED])
def test_what_cannot_be_held_is_refused_without_the_secret(
    service: str, url: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICECTX_SHOP_DETAILS", url)
    with pytest.raises(DetailsError) as caught:
        managed(service, name="shop").__enter__()
    error = caught.value
    assert problem in str(error)
    assert error.source == "SERVICECTX_SHOP_DETAILS"
    assert "SERVICECTX_SHOP_DETAILS" in str(error)
    assert "secret" not in f"{error} {error!r} {error.data}"


TEXTS = [
    "postgresql:/user:secret@db/x",
    "user:secret@db/x",
    "host=db password=secret",
    "secret",
    "//user:secret@db/x",
    "PGPASSWORD=secret",
    '["secret"]',
    '"secret"',
    '{"host": "secret',
    '{"host": "h", "port": "secret"}',
    '{"host": "h", "port": 1, "password": ["secret"]}',
    '{"host": "h", "port": 1, "https://u:secret@h": 1}',
    '{"host": "h", "port": 1, "service": "secret"}',
    '{"host": "h\\nsecret", "port": 1}',
    '{"host": "h", "port": 1, "password": "secret", "password": "secret"}',
    '{"host": {"secret": "secret"}, "port": 1}',
]


@pytest.mark.parametrize("variable", ["SERVICECTX_REDIS_DETAILS", "TEST_REDIS_DETAILS"])
@pytest.mark.parametrize("text", TEXTS)
def test_no_error_shows_a_secret(text: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0")
    (tmp_path / "details.json").write_text(text)
    for value in (text, str(tmp_path / "details.json")):
        monkeypatch.setenv(variable, value)
        with pytest.raises(DetailsError) as caught:
            managed("redis").__enter__()
        assert "secret" not in str(caught.value).replace(str(tmp_path), "")
        assert "secret" not in json.dumps(caught.value.data).replace(str(tmp_path), "")


def test_a_url_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    with managed("postgres", dbname="shop") as ours:
        monkeypatch.setenv("SERVICECTX_OTHER_DETAILS", ours.url)
        with managed("postgres", name="other") as pg, psycopg.connect(pg.url) as connection:
            assert connection.info.dbname == "shop"
            assert pg.external


class NotesDetails(ServiceDetails):
    user: str = ""
    password: str = ""
    room: str = ""


def test_a_model_of_your_own_reads_urls_too() -> None:
    notes = NotesDetails.from_url("notes://ada:p@h:7/?room=main")
    assert (notes.service, notes.user, notes.password, notes.room, notes.port) == ("notes", "ada", "p", "main", 7)
    with pytest.raises(DetailsError, match="has a path"):
        NotesDetails.from_url("notes://h:7/x")


def test_the_public_models_have_it() -> None:
    assert servicectx.PostgresDetails.from_url("postgresql://h/x").external
