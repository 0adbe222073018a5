"""Apache Kafka: an unpacked archive, as a broker that is its own controller.

Written from its documentation (https://kafka.apache.org/documentation/, "KRaft", "SASL/PLAIN", and the start scripts'
variables). Tested against a stand-in only.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servicectx.services import templates
from servicectx.services.base import environment
from servicectx.services.plan import Plan, Ports, Template, literal, quoted
from servicectx.services.settings import text

PROGRAM = "kafka-server-start.sh"
USER = "servicectx"
CLUSTER = "c2VydmljZWN0eC1rYWZrYQ"  # Kafka requires 16 bytes in base64

DEFAULTS: dict[str, str | int | bool] = {
    "num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    **dict.fromkeys(("offsets.topic.num.partitions", "transaction.state.log.num.partitions"), 1),
    **dict.fromkeys(("offsets.topic.replication.factor", "transaction.state.log.replication.factor"), 1),
    "transaction.state.log.min.isr": 1,
    **dict.fromkeys(("share.coordinator.state.topic.replication.factor", "share.coordinator.state.topic.min.isr"), 1),
}


def lines(user: str, password: str | None) -> dict[str, str]:
    """The lines of server.properties that users cannot change. Without a password there is no login."""
    protocol = "SASL_PLAINTEXT" if password else "PLAINTEXT"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": "1@{host}:{port_controller}",
        "listeners": "CLIENT://{host}:{port},CONTROLLER://{host}:{port_controller}",
        "advertised.listeners": "CLIENT://{host}:{port}",
        "listener.security.protocol.map": f"CLIENT:{protocol},CONTROLLER:{protocol}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENT",
        "log.dirs": "{data|relative}",  # relative: Kafka splits the value at commas
        **(_login(user, password) if password else {}),
    }


def _login(user: str, password: str) -> dict[str, str]:
    """SASL with the mechanism PLAIN. Java's tokenizer of login modules has backslash escapes in quotes."""
    text = literal(password.replace("\\", "\\\\").replace('"', '\\"'))
    login = f'username="{user}" password="{text}" user_{user}="{text}"'
    module = f"org.apache.kafka.common.security.plain.PlainLoginModule required {login};"
    names = ("sasl.enabled.mechanisms", "sasl.mechanism.inter.broker.protocol", "sasl.mechanism.controller.protocol")
    modules = ("listener.name.client.plain.sasl.jaas.config", "listener.name.controller.plain.sasl.jaas.config")
    return dict.fromkeys(names, "PLAIN") | dict.fromkeys(modules, module)


def owned(name: str) -> bool:
    """Whether a line decides who can connect, or how."""
    return name.lower() in lines(USER, "-") or name.lower().startswith(("listener.", "sasl.", "ssl.", "authorizer."))


def plan(service: str, program: str, settings: Mapping[str, str | int | bool], user: str, password: str | None) -> Plan:
    java = {"JAVA_HOME": os.environ["JAVA_HOME"]} if "JAVA_HOME" in os.environ else {}
    probe = {"kind": "call", "target": "servicectx.services.kafka.wire:answers"}
    probe |= {"user": user, "password": literal(password)} if password else {}
    return Plan(
        service=service,
        command=[program, "{dir}/server.properties"],
        environment=environment(
            **java,
            LOG_DIR="logs",  # relative, as in KAFKA_OPTS: the scripts do not quote these values
            KAFKA_HEAP_OPTS="-Xmx512m",
            KAFKA_JVM_PERFORMANCE_OPTS="-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
            KAFKA_OPTS="-XX:-UsePerfData -XX:+DisableAttachMechanism -Djava.io.tmpdir=.",  # not /tmp
        ),
        files={"server.properties": _properties({**DEFAULTS, **settings, **lines(user, password)})},
        template=_template(program),
        ready=probe,
        ping=probe,
        ports=Ports(["controller"]),
        expected_size=128 * 2**20,
    )


def details(user: str, password: str | None) -> dict[str, Any]:
    if password is None:
        return {}
    return {
        "user": user,
        "password": password,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
    }


def _template(program: str) -> Template:
    """A formatted directory. It contains no port and no login, so all instances of one installation share it."""
    formatted: dict[str, str | int | bool] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": "1@{host}:9093",
        "listeners": "CONTROLLER://{host}:9093",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": "{data|relative}",
    }
    return Template(
        key=templates.key("kafka", program, [str(formatted)]),
        command=[
            *(str(Path(program).with_name("kafka-storage.sh")), "format"),
            *("--cluster-id", CLUSTER, "--config", "{dir}/format.properties"),
        ],
        files={"format.properties": _properties(formatted)},
    )


def _properties(values: Mapping[str, str | int | bool]) -> str:
    return "".join(f"{name}={quoted(text(value), 'properties')}\n" for name, value in values.items())
