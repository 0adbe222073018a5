"""Details: forms for clients, hidden secrets, the details file."""

import logging
import os
import pickle
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from pydantic import ValidationError

from servicectx import (
    CockroachDetails,
    CommandDetails,
    DetailsError,
    MariadbDetails,
    MongodbDetails,
    PostgresDetails,
    RabbitmqDetails,
    RedisDetails,
    ServiceDetails,
)
from servicectx.services import registry

PLACE: dict[str, Any] = {"host": "127.0.0.1", "port": 6000}
PLAIN = PostgresDetails(service="postgres", name="orders", user="app", password="s3cret", dbname="shop", **PLACE)
ODD = PostgresDetails(service="postgres", name="odd", user="a b@c", password="p/w:d'\\", dbname="d%b", **PLACE)
REDIS = RedisDetails(service="redis", name="cache", password="s3cret", db=2, **PLACE)
COMMAND = CommandDetails(service="command", name="my-app", scheme="http", directory="/d", pid=7, **PLACE)
ALL = [PLAIN, ODD, REDIS, COMMAND]


def test_postgres_has_a_form_for_every_client() -> None:
    assert PLAIN.url == "postgresql://app:s3cret@127.0.0.1:6000/shop"
    assert PLAIN.sqlalchemy_url == "postgresql+psycopg://app:s3cret@127.0.0.1:6000/shop"
    assert PLAIN.async_sqlalchemy_url == "postgresql+asyncpg://app:s3cret@127.0.0.1:6000/shop"
    assert PLAIN.dsn == "host='127.0.0.1' port='6000' user='app' password='s3cret' dbname='shop'"
    assert PLAIN.env() == {
        "PGHOST": "127.0.0.1",
        "PGPORT": "6000",
        "PGUSER": "app",
        "PGPASSWORD": "s3cret",
        "PGDATABASE": "shop",
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": "6000",
        "POSTGRES_USER": "app",
        "POSTGRES_PASSWORD": "s3cret",
        "POSTGRES_DB": "shop",
        "DATABASE_URL": PLAIN.url,
    }


def test_redis_has_a_form_for_every_client() -> None:
    assert REDIS.url == "redis://:s3cret@127.0.0.1:6000/2"
    assert REDIS.env() == {
        "REDIS_URL": REDIS.url,
        "VALKEY_URL": "valkey://:s3cret@127.0.0.1:6000/2",
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": "6000",
        "REDIS_DB": "2",
        "REDIS_PASSWORD": "s3cret",
        "REDISCLI_AUTH": "s3cret",
        "VALKEYCLI_AUTH": "s3cret",
    }
    open_to_all = REDIS.model_copy(update={"password": ""})
    assert open_to_all.url == "redis://127.0.0.1:6000/2"
    assert set(open_to_all.env()) == {"REDIS_URL", "VALKEY_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_DB"}


def test_a_command_is_told_of_by_its_name() -> None:
    assert COMMAND.url == "http://127.0.0.1:6000"
    assert COMMAND.env() == {"MY_APP_URL": COMMAND.url, "MY_APP_HOST": "127.0.0.1", "MY_APP_PORT": "6000"}


def test_odd_letters_are_quoted_as_each_form_wants() -> None:
    from psycopg.conninfo import conninfo_to_dict
    from sqlalchemy import make_url

    wanted = {"user": "a b@c", "password": "p/w:d'\\", "dbname": "d%b", "host": "127.0.0.1"}
    for text in (ODD.url, ODD.dsn):
        parsed = conninfo_to_dict(text)
        assert {name: parsed[name] for name in wanted} == wanted
    url = make_url(ODD.sqlalchemy_url)
    assert (url.username, url.password, url.database, url.port) == ("a b@c", "p/w:d'\\", "d%b", 6000)
    mariadb = MariadbDetails(service="mariadb", name="m", user="a b@c", password="p/w", dbname="d%b / ä", **PLACE)
    assert mariadb.url == "mysql://a%20b%40c:p%2Fw@127.0.0.1:6000/d%25b%20%2F%20%C3%A4"
    for text in (mariadb.sqlalchemy_url, mariadb.async_sqlalchemy_url):
        url = make_url(text)
        assert (url.username, url.password, url.database, url.port) == ("a b@c", "p/w", "d%b / ä", 6000)


def test_odd_letters_reach_redis() -> None:
    from redis.connection import parse_url

    parsed = parse_url(REDIS.model_copy(update={"password": "p/w:d@'"}).url)  # type: ignore[no-untyped-call]
    assert (parsed["password"], parsed["db"], parsed["port"]) == ("p/w:d@'", 2, 6000)


@pytest.mark.parametrize("service", registry.BUILT_IN)
def test_an_ipv6_address_stands_in_brackets(service: str) -> None:
    model = registry.find(service).details_model()
    ports = {field: 6001 for field in ("http_port", "management_port") if field in model.model_fields}
    details: Any = model(service=service, name="x", host="::1", port=6000, **ports)
    assert "[::1]:6000" in details.url
    ours = [kind for kind in model.__mro__ if issubclass(kind, ServiceDetails)]
    forms = [name for kind in ours for name, form in vars(kind).items() if isinstance(form, property)]
    # libpq accepts no brackets in `dsn`, and `hostname` is not a part of a URL.
    values = {name: getattr(details, name) for name in forms if name not in ("dsn", "hostname", "messages")}
    addresses = {name: text for name, text in values.items() if isinstance(text, str) and "::1" in text}
    assert not {name: text for name, text in addresses.items() if "[::1]:600" not in text}
    assert sum("6001" in text for text in set(addresses.values())) == len(ports)


@pytest.mark.parametrize("details", ALL, ids=repr)
def test_they_survive_pickling(details: ServiceDetails) -> None:
    again = pickle.loads(pickle.dumps(details))
    assert again == details
    assert hash(again) == hash(details)
    assert again.url == details.url


@pytest.mark.parametrize("details", ALL, ids=repr)
def test_they_survive_the_details_file(details: ServiceDetails, tmp_path: Path) -> None:
    path = details.write(tmp_path / "details.json")
    assert type(details).read(path) == details
    assert type(details).read(str(path)) == details
    assert os.listdir(tmp_path) == ["details.json"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_details_file_is_for_its_owner_alone(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        path = PLAIN.write(tmp_path / "details.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_writing_again_replaces_the_whole_file(tmp_path: Path) -> None:
    path = ODD.write(tmp_path / "details.json")
    path.chmod(0o644)
    assert REDIS.write(path) == path
    assert RedisDetails.read(path) == REDIS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_threads_may_write_the_same_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda _: PLAIN.write(tmp_path / "details.json"), range(200)))
    assert set(written) == {tmp_path / "details.json"}
    assert os.listdir(tmp_path) == ["details.json"]


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("untouched")
    (tmp_path / "details.json").symlink_to(tmp_path / "elsewhere")
    PLAIN.write(tmp_path / "details.json")
    assert (tmp_path / "elsewhere").read_text() == "untouched"
    assert PostgresDetails.read(tmp_path / "details.json") == PLAIN


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "details.json").mkdir()
    with pytest.raises(IsADirectoryError):
        PLAIN.write(tmp_path / "details.json")
    assert os.listdir(tmp_path) == ["details.json"]
    with pytest.raises(FileNotFoundError):
        PLAIN.write(tmp_path / "missing" / "details.json")


@pytest.mark.parametrize("details", [PLAIN, REDIS], ids=["postgres", "redis"])
def test_secrets_are_not_shown(details: Any, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("somebody").warning("details: %s %r", details, details)
    for text in (repr(details), str(details), f"{details}", f"{details!r}", f"{[details]}", caplog.text):
        assert "s3cret" not in text
        assert "password='***'" in text
    assert "s3cret" in details.url


def test_an_empty_secret_shows_as_empty() -> None:
    assert "password=''" in repr(REDIS.model_copy(update={"password": ""}))


def test_the_program_is_not_in_the_repr() -> None:
    details = PLAIN.model_copy(update={"program": "/usr/bin/postgres", "program_reason": "first on PATH"})
    assert repr(details) == repr(PLAIN)
    assert "program" not in repr(details)
    assert '"program_reason":"first on PATH"' in details.model_dump_json()


def test_secrets_are_plain_texts() -> None:
    assert type(PLAIN.password) is str
    assert PLAIN.password == "s3cret"


def test_they_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PLAIN.port = 1


def test_a_refused_value_is_not_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        PostgresDetails(service="postgres", name="p", password=["s3cret"], **PLACE)  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)


BAD_FILES = [
    ("", None, "it is not JSON"),
    ("{", None, "it is not JSON"),
    ('{"port": 1,}', None, "it is not JSON"),
    ("[1]", None, "it holds a list, not a JSON object"),
    ("17", None, "it holds a int, not a JSON object"),
    ("null", None, "it holds a NoneType, not a JSON object"),
    ('{"service": "redis", "name": "r", "host": "h"}', "port", "Field required"),
    ('{"service": "redis", "name": "r", "host": "h", "port": "6379"}', "port", "valid integer"),
    ('{"service": "redis", "name": "r", "host": "h", "port": 70000}', "port", "less than or equal to 65535"),
    ('{"service": "redis", "name": "r", "host": "h", "port": -1}', "port", "greater than or equal to 0"),
    ('{"service": "redis", "name": "r", "host": 4, "port": 1}', "host", "valid string"),
    ('{"service": "redis", "name": "r", "host": "h", "port": 1, "password": 5}', "password", "valid string"),
    ('{"service": "redis", "name": "r", "host": "h", "port": 1, "external": "yes"}', "external", "valid boolean"),
    ('{"service": "redis", "name": "r", "host": "h", "port": 1, "prot": 2}', "prot", "unknown field; RedisDetails has"),
]


@pytest.mark.parametrize(("text", "field", "problem"), BAD_FILES)
def test_a_bad_file_is_refused_by_path_and_field(text: str, field: str | None, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "details.json"
    path.write_text(text)
    with pytest.raises(DetailsError) as caught:
        RedisDetails.read(path)
    error = caught.value
    assert (error.source, error.path, error.field) == (None, str(path), field)
    assert problem in error.problem
    assert str(path) in str(error)
    assert field is None or f"field {field!r}" in str(error)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, problem in [
        ("missing", "there is no such file"),
        (".", "it is a directory"),
        ("bytes", "it is not a text file"),
        ("loop", "it cannot be read: Too many levels of symbolic links"),
    ]:
        with pytest.raises(DetailsError, match=problem) as caught:
            RedisDetails.read(tmp_path / name)
        assert caught.value.path == str(tmp_path / name)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg", "pg8000"])
def test_sqlalchemy_reads_the_url_of_each_postgres_driver(driver: str) -> None:
    url = sqlalchemy.make_url(ODD.url_for(driver))
    assert url.drivername == f"postgresql+{driver}"
    assert (url.host, url.port, url.database) == (ODD.host, ODD.port, ODD.dbname)
    assert (url.username, url.password) == (ODD.user, ODD.password)


@pytest.mark.parametrize(
    "driver", ["pymysql", "mysqlclient", "mysqldb", "mysqlconnector", "mysql-connector", "asyncmy", "aiomysql"]
)
def test_sqlalchemy_reads_the_url_of_each_mysql_driver(driver: str) -> None:
    mariadb = MariadbDetails(service="mariadb", name="m", host="h", port=7, user="ü", password="p:@/", dbname="a b")
    url = sqlalchemy.make_url(mariadb.url_for(driver))
    assert url.drivername == f"mysql+{driver.replace('client', 'db').replace('-', '')}"
    assert (url.username, url.password, url.database) == ("ü", "p:@/", "a b")


def test_cockroach_has_its_own_dialect() -> None:
    crdb = CockroachDetails(service="cockroach", name="c", host="h", port=7, password="p")
    assert crdb.url_for("psycopg2") == "cockroachdb+psycopg2://root:p@h:7/defaultdb"
    assert crdb.url_for("jdbc").startswith("jdbc:postgresql://h:7/defaultdb?")


def test_java_gets_a_url_of_its_own() -> None:
    assert PLAIN.url_for("jdbc") == "jdbc:postgresql://127.0.0.1:6000/shop?user=app&password=s3cret"
    mariadb = MariadbDetails(service="mariadb", name="m", host="h", port=7, user="a", password="b&", dbname="d")
    assert mariadb.url_for("jdbc") == "jdbc:mariadb://h:7/d?user=a&password=b%26"
    assert mariadb.url_for("jdbc-mysql") == "jdbc:mysql://h:7/d?user=a&password=b%26"
    open_to_all = mariadb.model_copy(update={"password": ""})
    assert open_to_all.url_for("jdbc") == "jdbc:mariadb://h:7/d?user=a"


def test_drivers_that_have_a_scheme_of_their_own() -> None:
    assert PLAIN.url_for("celery") == "db+postgresql+psycopg://app:s3cret@127.0.0.1:6000/shop"
    mariadb = MariadbDetails(service="mariadb", name="m", host="h", port=7, password="b", dbname="d")
    assert mariadb.url_for("celery") == "db+mysql+pymysql://root:b@h:7/d"
    crdb = CockroachDetails(service="cockroach", name="c", host="h", port=7)
    assert crdb.url_for("celery") == "db+cockroachdb+psycopg://root@h:7/defaultdb"
    assert REDIS.url_for("valkey") == "valkey://:s3cret@127.0.0.1:6000/2"
    assert {REDIS.url_for(driver) for driver in ("redis", "celery", "kombu")} == {REDIS.url}
    rabbitmq = RabbitmqDetails(service="rabbitmq", name="r", host="h", port=7, vhost="v")
    assert {rabbitmq.url_for(driver) for driver in ("pika", "aio-pika", "amqp")} == {rabbitmq.url}
    assert rabbitmq.url_for("celery") == rabbitmq.url_for("kombu") == "pyamqp://guest:guest@h:7/v"
    mongodb = MongodbDetails(service="mongodb", name="m", host="h", port=7, user="u", password="p")
    for driver in ("pymongo", "motor", "mongoengine", "beanie", "celery"):
        assert mongodb.url_for(driver) == mongodb.url


OTHERS: dict[str, Any] = {"name": "a", "host": "h", "port": 7}


@pytest.mark.parametrize(
    ("details", "known"),
    [
        (PLAIN, "psycopg, psycopg2, asyncpg, pg8000, jdbc, celery"),
        (MariadbDetails(service="mariadb", **OTHERS), "pymysql, .* jdbc, jdbc-mysql, celery"),
        (REDIS, "redis, valkey, celery, kombu"),
        (RabbitmqDetails(service="rabbitmq", **OTHERS), "pika, aio-pika, amqp, celery, kombu"),
        (MongodbDetails(service="mongodb", **OTHERS), "pymongo, motor, mongoengine, beanie, celery"),
    ],
)
def test_an_unknown_driver_lists_the_known_ones(details: Any, known: str) -> None:
    with pytest.raises(ValueError, match=f"no URL is known for the driver 'odbc'; known: {known}$"):
        details.url_for("odbc")
