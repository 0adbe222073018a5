"""Address, login, database and server are chosen under the same names by every front door.

For each service: Python, pyproject.toml and `--set` lead to the same request. For services that have all of these
options between them: one run of pytest and one of behave with real servers.
"""

import json
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from servicectx import Managed, managed
from servicectx.cli.selection import members
from servicectx.services import registry
from tests.integrations import runs
from tests.integrations.pytest_.projects import Project
from tests.integrations.runs import Run
from tests.services import choices, table

OPTIONS: dict[str, Any] = {
    "port": 5432,
    "user": "ada",
    "access_key": "ada",
    "password": "12345",
    "token": "12345",
    "secret_key": "12345678",
    "dbname": "007",
    "vhost": "shop",
    "buckets": ["photos", "texts"],
    "socket": True,
    "version": ">=0.1",
}
PROGRAMS = {"kafka": "tansu", "mqtt": "mosquitto", "redis": "valkey", "s3": "seaweedfs", "vault": "openbao"}
PROGRAMS |= {"wsgi": "gunicorn"}
SERVICES = [service.name for service in choices.services()]


def chosen(service: str) -> dict[str, Any]:
    """An option for each choice that the service has."""
    found = registry.find(service)
    options: dict[str, Any] = {}
    for choice in choices.CHOICES:
        for name in choices.options(found, choice)[:1]:
            options[name] = PROGRAMS[service] if choice == "flavour" else OPTIONS.get(name)
    if service == "postgres":
        options["extensions"] = ["pg_trgm", "vector"]
    if ports := choices.further_ports(found):
        options["ports"] = {name: 2000 + number for number, name in enumerate(ports)}
    return options


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name} = {toml(item)}' for name, item in value.items())}}}"
    return json.dumps(value)


def texts(prefix: str, options: dict[str, Any]) -> list[str]:
    """The options as texts of `--set`."""
    found = []
    for name, value in options.items():
        if isinstance(value, dict):
            found += texts(f"{prefix}.{name}", value)
        else:
            found.append(f"{prefix}.{name}={value if isinstance(value, str) else json.dumps(value)}")
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_python_files_and_the_command_line_choose_the_same(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = chosen(service)
    lines = "".join(f"{name} = {toml(value)}\n" for name, value in options.items())
    (tmp_path / "pyproject.toml").write_text(f'[tool.servicectx.mine]\nservice = "{service}"\n{lines}')
    (written,) = members((f"mine={service}",), (), tuple(texts("mine", options)))
    doors: list[Managed[Any]] = [managed(service, **options), managed("mine"), written.managed]
    requests = [door._request for door in doors]
    assert [request.options for request in requests] == [requests[0].options] * 3
    assert [request.address for request in requests] == [requests[0].address] * 3
    assert requests[0].address.port == 5432
    assert {name: getattr(requests[0].options, name, options[name]) for name in options} == {
        name: tuple(value) if isinstance(getattr(requests[0].options, name, None), tuple) else value
        for name, value in options.items()
    }


@pytest.mark.parametrize("service", SERVICES)
def test_each_option_is_a_part_of_the_key(service: str) -> None:
    row = next((row for row in table.rows() if row.service == service), None)
    if row is None:  # no server of this kind is installed where the tests run
        assert service in table.not_run_here()
        return
    table.require(service)
    with table.chosen(row):
        keys = {managed(service, **row.options).key}
        options = chosen(service)
        for name, value in options.items():
            keys.add(managed(service, **{**row.options, name: value}).key)
        if "password" in options:
            keys.add(managed(service, **{**row.options, "password": None}).key)
            options["password=None"] = None
    same = "server" in row.options and row.options["server"] == options.get("server")
    assert len(keys) == 1 + len(options) - same


# -- pytest and behave ---------------------------------------------------------------------------------------------

TESTS = """
    import json, os, socket
    from journal import note
    from servicectx_pytest import service_fixture

    CHOSEN = json.loads(os.environ["CHOSEN"])
    globals().update({name: service_fixture(name, **options) for name, options in CHOSEN.items()})


    def test_they_run(request):
        for name, options in CHOSEN.items():
            note(name, fields=request.getfixturevalue(name).model_dump())
            for port in options.get("ports", {}).values():
                socket.create_connection(("127.0.0.1", port)).close()
"""
ENVIRONMENT = """
import json, os
from servicectx_behave import use_service_by_tag


def before_tag(context, tag):
    use_service_by_tag(tag, context, json.loads(os.environ["CHOSEN"]))
"""
STEPS = """
import json, os, socket
from behave import then
from journal import note


@then("they run")
def they_run(context):
    for name, options in json.loads(os.environ["CHOSEN"]).items():
        note(name, fields=getattr(context, name).model_dump())
        for port in options.get("ports", {}).values():
            socket.create_connection(("127.0.0.1", port)).close()
"""
FEATURE = """{tags}
Feature: Services with chosen options

  Scenario: one
    Then they run
"""


def pytest_run(folder: Path, options: str) -> Run:
    return Project(folder, test_chosen=TESTS).run(CHOSEN=options)


def behave_run(folder: Path, options: str) -> Run:
    tags = " ".join(f"@service.{name}" for name in json.loads(options))
    files = {"environment.py": ENVIRONMENT, "steps/steps.py": STEPS, "one.feature": FEATURE.format(tags=tags)}
    for name, text in files.items():
        path = folder / "features" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "journal.py").write_text(Path(runs.__file__).with_name("journal.py").read_text())
    return Run(folder, "behave", CHOSEN=options, PYTHONPATH=str(folder)).passes()


@pytest.mark.parametrize("run", [pytest_run, behave_run])
def test_the_integrations_choose_the_same(run: Any, tmp_path: Path) -> None:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(5)]
        first, second, third, fourth, peer = (probe.getsockname()[1] for probe in probes)
    login = {"user": "ada", "password": "hush"}
    options: dict[str, dict[str, Any]] = {
        "postgres": {"port": first, **login, "dbname": "shop", "socket": True, "version": ">=9"},
        "redis": {"port": second, **login, "flavour": "valkey"},
        "nats": {"port": third, "token": "hush"},
        "etcd": {"port": fourth, "ports": {"peer": peer}, "password": None},
    }
    done = run(tmp_path, json.dumps(options))
    fields = {name: done.notes(name)[0]["fields"] for name in options}
    for name, wanted in options.items():
        known = {"password": ""} if wanted.get("password", "") is None else wanted
        same = known.keys() & {"port", "user", "password", "dbname", "token"}
        assert {field: fields[name][field] for field in same} == {field: known[field] for field in same}
    assert fields["postgres"]["socket"].endswith(f".s.PGSQL.{first}")
    assert fields["postgres"]["program_reason"].endswith("version >=9 asked")
    assert fields["redis"]["program"].endswith("valkey-server")
    assert fields["redis"]["program_reason"].endswith("flavour valkey asked")
