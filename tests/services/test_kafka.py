"""A real broker, tansu, with two usual clients; Apache Kafka's plan against a stand-in."""

import asyncio
import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from servicectx import InvalidOption, KafkaDetails, NotIsolable, StartFailed, isolated, managed
from servicectx.services import registry
from servicectx.services.kafka import apache as apache_kafka
from servicectx.services.kafka import wire as kafka_wire
from tests import servers
from tests.services import kafka_admin, killed
from tests.services.row import Row, no_password

ROWS = [
    Row(
        "kafka",
        volatile="KAFKA_HOME",
        logins=(no_password(user=""),),
        not_possible=(
            ({"password": "guess"}, "tansu cannot combine a login with data in memory"),
            ({"user": "ada"}, "tansu cannot combine a login with data in memory"),
        ),
    ),
]


WAIT = 30


def topics(details: KafkaDetails) -> list[str]:
    return sorted(AdminClient(details.client_config).list_topics(timeout=WAIT).topics)


def create(details: KafkaDetails, *names: str) -> None:
    admin = AdminClient(details.client_config)  # a client cancels its requests when it is deleted
    for future in admin.create_topics([NewTopic(name, 1) for name in names]).values():
        future.result(WAIT)


def put(details: KafkaDetails, name: str, value: str) -> None:
    create(details, details.prefix + name)
    producer = Producer(details.client_config)
    producer.produce(details.prefix + name, value.encode())
    assert producer.flush(WAIT) == 0


def get(details: KafkaDetails, name: str) -> str | None:
    topic = details.prefix + name
    if topic not in topics(details):
        return None
    consumer = Consumer(details.consumer_config | {"group.id": f"{details.prefix}readers"})
    try:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        message = consumer.poll(WAIT)
        assert message
        return (message.value() or b"").decode()
    finally:
        consumer.close()


def test_confluent_kafka_consumes_in_a_group() -> None:
    with managed("kafka") as details:
        put(details, "orders", "ä")
        group = {"group.id": "readers", "auto.offset.reset": "earliest"}
        consumer = Consumer(details.consumer_config | group)
        try:
            consumer.subscribe(["orders"])
            message = consumer.poll(WAIT)
            assert message
            assert message.value() == "ä".encode()
        finally:
            consumer.close()


def test_aiokafka_consumes_in_a_group() -> None:
    async def work(details: KafkaDetails) -> None:
        async with AIOKafkaProducer(**details.aiokafka_config) as producer:
            sent = await producer.send_and_wait("orders", b"1")
            assert sent.topic == "orders"
        consumer = AIOKafkaConsumer(
            "orders",
            **details.aiokafka_config,
            group_id="readers",
            auto_offset_reset="earliest",
            session_timeout_ms=6000,
        )
        async with consumer:
            message = await asyncio.wait_for(consumer.getone(), WAIT)
            assert message.value == b"1"

    with managed("kafka") as details:
        create(details, "orders")
        asyncio.run(work(details))


def test_the_environment_is_enough_for_a_client() -> None:
    script = (
        "import os\n"
        "from confluent_kafka.admin import AdminClient\n"
        "config = {'bootstrap.servers': os.environ['KAFKA_BOOTSTRAP_SERVERS'],"
        " 'security.protocol': os.environ['KAFKA_SECURITY_PROTOCOL']}\n"
        "print(len(AdminClient(config).list_topics(timeout=30).brokers))\n"
    )
    with managed("kafka") as details:
        result = subprocess.run(
            [sys.executable, "-c", script], env=os.environ | details.env(), capture_output=True, text=True, check=True
        )
    assert result.stdout == "1\n"


def test_it_sends_its_clients_to_where_it_is() -> None:
    with managed("kafka", name="a") as one, managed("kafka", name="b") as two:
        for details in (one, two):
            (broker,) = AdminClient(details.client_config).list_topics(timeout=WAIT).brokers.values()
            assert f"{broker.host}:{broker.port}" == details.bootstrap_servers


def test_the_caller_s_settings_for_servers_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTENER_URL", "tcp://0.0.0.0:9092")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with managed("kafka") as details:
        assert servers.listens_on_loopback_only(details.port)
        environment = servers.environment(servers.owner(details.port))
        assert not {"LISTENER_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"} & set(environment)


def test_settings_reach_the_server() -> None:
    with managed("kafka", settings={"cluster-id": "ours"}) as details:
        assert AdminClient(details.client_config).list_topics(timeout=WAIT).cluster_id == "ours"


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed, match="unexpected argument '--no-such-flag'"):
        managed("kafka", settings={"no-such-flag": 1}).__enter__()


@pytest.mark.parametrize("ours", ["listener-url", "storage-engine", "authentication"])
def test_settings_that_would_lead_elsewhere_are_refused(ours: str) -> None:
    with pytest.raises(InvalidOption, match="set by servicectx"):
        managed("kafka", settings={ours: "x"}).__enter__()


def test_what_is_in_a_namespace_goes_with_it() -> None:
    with managed("kafka") as details:
        create(details, "orders")
        with isolated(details) as one, isolated(details) as two:
            assert one.env()["KAFKA_PREFIX"] == one.prefix
            create(one, f"{one.prefix}orders", f"{one.prefix}mail")
            create(two, f"{two.prefix}orders")
            assert len(topics(details)) == 4
        assert topics(details) == ["orders"]


def test_what_is_to_stay_outlives_its_maker() -> None:
    with managed("kafka") as details:
        killed.and_kept(details)
        before = topics(details)
        assert len(before) == 2
        with isolated(details):
            assert topics(details) == before


def test_what_a_killed_user_left_is_removed_by_the_next() -> None:
    with managed("kafka") as details:
        killed.in_a_namespace(details)
        assert len(topics(details)) == 1
        with isolated(details):
            assert topics(details) == []


def test_a_namespace_that_could_not_be_emptied_is_not_made() -> None:
    details = KafkaDetails(
        service="kafka", name="kafka", host="127.0.0.1", port=1, security_protocol="SASL_SSL", sasl_mechanism="PLAIN"
    )
    with pytest.raises(NotIsolable, match="cannot be removed over SASL_SSL PLAIN"), isolated(details):
        pass


def test_details_say_how_to_log_in() -> None:
    details = KafkaDetails(
        service="kafka", name="kafka", host="::1", port=9092, **apache_kafka.details("servicectx", "random")
    )
    assert details.bootstrap_servers == "[::1]:9092"
    assert details.url == "kafka://servicectx:random@[::1]:9092"
    assert details.client_config == {
        "bootstrap.servers": "[::1]:9092",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "servicectx",
        "sasl.password": "random",
    }
    assert details.consumer_config["session.timeout.ms"] == 6000
    assert details.aiokafka_config["sasl_plain_password"] == "random"
    assert details.env()["KAFKA_SASL_PASSWORD"] == "random"
    assert "random" not in repr(details)


# -- Apache Kafka, which is not available where these tests run ----------------------------------------------------


@pytest.fixture
def apache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree like that of Kafka's archive, with a stand-in."""
    programs = tmp_path / "kafka" / "bin"
    programs.mkdir(parents=True)
    standin = Path(__file__).parent / "standins" / "kafka.py"
    for name in ("kafka-storage.sh", "kafka-server-start.sh"):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {standin} {name} "$@"\n')
        script.chmod(0o755)
    monkeypatch.setenv("KAFKA_HOME", str(programs.parent))
    return programs.parent


def test_a_tree_that_is_named_is_taken_first(apache: Path) -> None:
    service = registry.find("kafka")
    assert service.program(service.options({})) == str(apache / "bin" / "kafka-server-start.sh")


def test_its_server_starts_formatted_and_with_a_password(apache: Path, home: Path) -> None:
    with managed("kafka", settings={"num.partitions": 3}) as details:
        assert (details.user, details.security_protocol) == ("servicectx", "SASL_PLAINTEXT")
        (properties,) = home.rglob("server.properties")
        lines = properties.read_text().splitlines()
        assert properties.stat().st_mode & 0o077 == 0
        assert "num.partitions=3" in lines
        assert f"advertised.listeners=CLIENT://127.0.0.1:{details.port}" in lines
        assert not any("{" in line for line in lines)
        assert not [line for line in servers.command_lines() if details.password in line]
        wrong = details.model_copy(update={"password": "guess"})
        with pytest.raises(kafka_wire.Refused), isolated(wrong):
            pass
        with isolated(details) as mine:
            assert mine.prefix


def test_its_login_may_be_chosen(apache: Path, home: Path) -> None:
    with managed("kafka", user="ada", password="hush") as details:
        assert (details.user, details.password) == ("ada", "hush")
        with isolated(details) as mine:
            assert mine.user == "ada"
        with pytest.raises(kafka_wire.Refused), isolated(details.model_copy(update={"password": "guess"})):
            pass
    for user in ("a b", 'a"', "a=b", ""):
        with pytest.raises(InvalidOption, match="user"):
            managed("kafka", user=user).__enter__()


def test_its_lines_hold_any_password_and_none() -> None:
    lines = apache_kafka.lines("ada", 'a"\\;{port}')
    assert lines["listener.name.client.plain.sasl.jaas.config"] == (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        r'username="ada" password="a\"\\;{brace}port}" user_ada="a\"\\;{brace}port}";'
    )
    without = apache_kafka.lines("ada", None)
    assert without["listener.security.protocol.map"] == "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    assert not [name for name in without if "sasl" in name]
    assert apache_kafka.details("ada", None) == {}


def test_its_cluster_has_an_id_of_16_bytes() -> None:
    assert len(base64.urlsafe_b64decode(apache_kafka.CLUSTER + "==")) == 16


def test_its_own_words_are_told_when_it_fails(apache: Path) -> None:
    with pytest.raises(StartFailed, match=r"ConfigException: no\.such\.setting"):
        managed("kafka", settings={"no.such.setting": 1}).__enter__()
    with pytest.raises(InvalidOption, match="set by servicectx"):
        managed("kafka", settings={"listeners": "PLAINTEXT://:9092"}).__enter__()
    for name in ("sasl.enabled.mechanisms", "authorizer.class.name", "ssl.client.auth", "Listener.name.x"):
        with pytest.raises(InvalidOption, match=f"{name!r} is set by servicectx"):
            managed("kafka", settings={name: "x"}).__enter__()


@pytest.mark.timeout(600)
def test_the_page_lists_tansu_s_answers_to_admin_calls() -> None:
    page = (Path(__file__).parents[2] / "docs/services/kafka.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page.partition("## Admin calls")[2], re.MULTILINE))
    found = {}
    for call in kafka_admin.CALLS:
        with managed("kafka", scope="private") as details:  # some calls end the broker
            found[call] = kafka_admin.result_of(details, call)
    assert found == listed
