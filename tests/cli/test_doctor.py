"""`servicectx doctor`: versions, system, container, variables, details from outside, extensions, and the form."""

import importlib.metadata
import json
import os
import platform
import socket
import sys
from pathlib import Path

import pytest
import yaml

import servicectx
from servicectx.cli import checks, surroundings
from servicectx.cli.external_checks import external_details
from servicectx.cli.finding import ABSENT, FINE, WRONG, Finding
from servicectx.cli.report_form import form
from tests.cli.command import cli

ROOT = Path(__file__).parents[2]


def text(name: str) -> str:
    return surroundings.CHECKS[name](name).text


def test_versions_and_system() -> None:
    assert text("servicectx") == f"{servicectx.__version__}, {Path(servicectx.__file__).parent}"
    for package in ("mirakuru", "pydantic", "pytest", "click"):
        assert f"{package} {importlib.metadata.version(package)}" in text("packages").split(", ")
    assert f"{platform.machine()}, " in text("system")
    assert f"{os.cpu_count()} processors" in text("system")


def test_container_and_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    marks = {str(tmp_path / "mark"): "Podman"}
    monkeypatch.setattr(surroundings, "CONTAINER_FILES", marks)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert text("container") == "not in a known container; no engine on PATH, none is used"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert text("container").startswith("in a container of Kubernetes;")
    (tmp_path / "mark").touch()
    (tmp_path / "podman").touch(mode=0o755)
    assert text("container") == f"in a container of Podman; engine: {tmp_path}/podman, which no service uses"


def test_variables_that_are_set(project: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", "redis://:hidden@127.0.0.1:1/0")
    monkeypatch.setenv("SERVICECTX_POSTGRES_BIN", "/opt/pg/bin")
    found = checks.CHECKS["variables"]("variables")
    assert found.result == FINE
    assert f"SERVICECTX_HOME={home}, SERVICECTX_POSTGRES_BIN=/opt/pg/bin, SERVICECTX_REDIS_DETAILS" in found.text
    assert "hidden" not in str(found)


def test_details_from_outside_get_a_connection(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty,) = external_details()
    assert (empty.result, empty.text) == (FINE, "no variable with details is set: services are started here")
    (project / "pyproject.toml").write_text('[tool.servicectx]\norders = "redis"\n')
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with servicectx.managed("redis") as redis:
        details = {"service": "redis", "host": redis.host, "port": redis.port, "password": redis.password}
        (project / "details.json").write_text(json.dumps(details))
        monkeypatch.setenv("SERVICECTX_ORDERS_DETAILS", redis.url)  # a name of the project
        monkeypatch.setenv("SERVICECTX_SHOP_DETAILS", str(project / "details.json"))  # the file names the service
        monkeypatch.setenv("SERVICECTX_OTHER_DETAILS", redis.url)
        monkeypatch.setenv("SERVICECTX_POSTGRES_DETAILS", f"postgresql://u:hidden@127.0.0.1:{port}/db")
        monkeypatch.setenv("SERVICECTX_KAFKA_DETAILS", "")
        found = {finding.text.partition(":")[0]: finding for finding in external_details()}
    where = f"redis at 127.0.0.1:{redis.port} answers"
    assert found["SERVICECTX_ORDERS_DETAILS"].text.endswith(where)
    assert found["SERVICECTX_SHOP_DETAILS"].text.endswith(where)
    assert {finding.what for finding in found.values()} == {"details"}
    unknown = found["SERVICECTX_OTHER_DETAILS"]
    assert (unknown.result, "no service of the project is called 'other'" in unknown.text) == (ABSENT, True)
    refused = found["SERVICECTX_POSTGRES_DETAILS"]
    assert (refused.result, f"no server answers at 127.0.0.1:{port}" in refused.text) == (WRONG, True)
    assert "start it, correct the address, or unset SERVICECTX_POSTGRES_DETAILS" in refused.text
    assert refused.cure == "correct the value, or unset SERVICECTX_POSTGRES_DETAILS"
    assert "it is set but empty" in found["SERVICECTX_KAFKA_DETAILS"].text
    assert "unset it to have a service started" in found["SERVICECTX_KAFKA_DETAILS"].text
    assert not any(secret in str(finding) for finding in found.values() for secret in ("hidden", redis.password))
    os.mkfifo(project / "fifo")
    monkeypatch.setenv("SERVICECTX_SHOP_DETAILS", str(project / "fifo"))
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0")
    found = {finding.text.partition(":")[0]: finding for finding in external_details()}
    assert found["SERVICECTX_SHOP_DETAILS"].result == ABSENT
    assert found["SERVICECTX_ORDERS_DETAILS"].text.endswith(" is described; no connection was tried")


def test_servers_and_why_each_is_chosen(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.servicectx]\norders = {service = "redis", version = ">=3"}\nsmtp = {service = "smtp", user = "ada"}\n'
    )
    findings = [*checks.programs(("redis",))]
    found = {finding.what: finding for finding in findings}
    assert ", from the wheel " in found["redis"].text
    assert found["orders"].text == f"named by this project: {found['redis'].text}, version >=3 asked"
    both = [finding.text for finding in findings if finding.what == "smtp"]
    assert both[0].endswith(f", {sys.executable}, its package is installed")
    assert both[1] == f"named by this project: {both[0]}"
    assert found["redis"].text.partition(",")[0].replace(".", "").isdigit()
    assert "pg_trgm" in found["postgres extensions"].text.split(", ")


def test_the_form(project: Path) -> None:
    """One run of the command: Markdown, with status 1 for a problem; the JSON objects have the same findings."""
    home, unused = project / "person", project / "nothing"
    home.mkdir()
    variables = {"HOME": str(home), "SERVICECTX_REDIS_DETAILS": "redis://:hidden@127.0.0.1:1/0"}
    variables |= {"SERVICECTX_MEMCACHED_BIN": str(unused), "SERVICECTX_CACHE": str(home / "cache")}
    done = cli("doctor", "--form", cwd=project, env=variables)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert (lines[:3], lines[-1]) == (["### servicectx doctor", "", "```text"], "```")
    names = {line[7:].split()[0] for line in lines[3:-1]}
    assert names >= {*checks.CHECKS, "details", "postgres", "redis"}
    (absent,) = [line for line in lines if "not installed" in line]
    assert "memcached" in absent.split("  ")[-1].split(", ")
    assert "SERVICECTX_CACHE=PROJECT/person/cache" in done.stdout
    assert not any(word in done.stdout for word in (str(project), "hidden"))
    objects = json.loads(cli("doctor", "--json", cwd=project, env=variables).stdout)
    assert {finding["what"] for finding in objects} >= names - {"not"}


def test_the_form_shortens_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person, project = tmp_path / "person", tmp_path / "project"
    for path in (person, project):
        path.mkdir()
    (project / "pyproject.toml").touch()
    monkeypatch.setenv("HOME", str(person))
    monkeypatch.chdir(project)
    text = form([Finding("home", FINE, f"{person}/home of {project}"), Finding("kafka", ABSENT, "no program")])
    assert "ok     home" in text
    assert text.splitlines()[3].endswith("  ~/home of PROJECT")
    assert text.splitlines()[4] == "-      not installed  kafka"


def test_the_issue_template_asks_for_the_form() -> None:
    template = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8"))
    (field,) = [entry for entry in template["body"] if entry.get("id") == "doctor"]
    assert "servicectx doctor --form" in field["attributes"]["description"]
    assert "render" not in field["attributes"], "the form is Markdown"
    assert field["validations"] == {"required": True}
