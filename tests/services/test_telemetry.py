"""Telemetry and update checks are switched off: in the command, the environment or the files."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from servicectx import Plan, service_names
from servicectx.services import registry
from tests.services import table


class Switch(NamedTuple):
    """`arguments` must be in the command of the server or a companion, and `variables` in the environment. `lines`: the
    name of a file, then lines that it must have. `program`: the name of the server's program.
    """

    service: str
    program: str
    options: dict[str, Any] = {}
    arguments: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.service}-{self.program}"


SWITCHES = [
    Switch("cockroach", "cockroach", variables={"COCKROACH_SKIP_ENABLING_DIAGNOSTIC_REPORTING": "true"}),
    Switch("elasticsearch", "elasticsearch", lines=("elasticsearch.yml", "ingest.geoip.downloader.enabled: false")),
    Switch("mariadb", "mariadbd", lines=("my.cnf", "loose-feedback = OFF")),
    Switch("mongodb", "mongod", arguments=("--setParameter", "diagnosticDataCollectionEnabled=false")),
    Switch("s3", "minio", variables={"MINIO_UPDATE": "off"}),
    Switch("s3", "weed", arguments=("master", "-telemetry=false")),
    Switch("temporal", "temporal", variables={"TEMPORAL_VERSION_CHECK_DISABLED": "1"}, arguments=("--headless",)),
    Switch("temporal", "temporal", options={"ui": True}, arguments=("--ui-disable-news-fetch",)),
    Switch(
        "vault",
        "vault",
        variables={"OPTOUT_LICENSE_REPORTING": "true", "OPTOUT_PRODUCT_USAGE_REPORTING": "true"},
    ),
]

# These send no reports and have no switch; the last three run the user's own code.
SILENT = {"etcd", "memcached", "moto", "mqtt", "nats", "opensearch", "postgres", "rabbitmq", "redis", "smtp"}
SILENT |= {"kafka", "zookeeper", "asgi", "wsgi", "command"}
SILENT |= {name for name in registry.BUILT_IN if table.declared(name, "SENDS_REPORTS") is False}


def plan(service: str, program: Path, options: dict[str, Any]) -> Plan:
    found = registry.find(service)
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return found.plan(found.options(options), str(program), "s3cret")


@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_it_is_off(switch: Switch, tmp_path: Path) -> None:
    made = plan(switch.service, tmp_path / "bin" / switch.program, switch.options)
    commands = [made.command, *(companion.command for companion in made.companions)]
    assert any(set(switch.arguments) <= set(command) for command in commands)
    assert made.environment.items() >= switch.variables.items()
    if switch.lines:
        name, *lines = switch.lines
        assert set(lines) <= set(made.files[name].splitlines())


def test_every_service_is_thought_of() -> None:
    missing = set(service_names()) - {switch.service for switch in SWITCHES} - SILENT
    assert not missing, f"add to SWITCHES, or write SENDS_REPORTS = False into the test file of {missing}"
    assert not {switch.service for switch in SWITCHES} & SILENT


@pytest.mark.parametrize(("service", "program"), [("kafka", "tansu"), ("vault", "bao"), ("temporal", "temporal")])
def test_a_collector_of_the_caller_s_is_not_reported_to(
    service: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        monkeypatch.setenv(name, "http://collector.example:4317")
    made = plan(service, tmp_path / "bin" / program, {})
    assert "collector.example" not in f"{made.command} {made.environment} {made.files}"
