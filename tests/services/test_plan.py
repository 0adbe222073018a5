"""Plans are plain data: they are sent as JSON, and the keeper replaces their placeholders."""

import json
from pathlib import Path
from typing import Any

import pytest

from servicectx.services import plan, registry
from servicectx.testing import FakeService
from tests.services import accounts

FACTS = {"host": "127.0.0.1", "port": 6000, "dir": "/d", "data": "/d/data", "template_secret": "t"}


@pytest.mark.parametrize(
    ("given", "rendered"),
    [
        ("--port={port}", "--port=6000"),
        ("{host}:{port}", "127.0.0.1:6000"),
        ("{dir}/{data}/{template_secret}", "/d//d/data/t"),
        ('{"a": {b}} {} {unknown} {{port}} {0} %s', '{"a": {b}} {} {unknown} {6000} {0} %s'),
        (["{port}", 1, None, True], ["6000", 1, None, True]),
        ({"{port}": {"x": ["{dir}"]}}, {"6000": {"x": ["/d"]}}),
        (("{port}",), ["6000"]),
        (5, 5),
    ],
)
def test_placeholders_are_filled_in_wherever_they_stand(given: Any, rendered: Any) -> None:
    assert plan.render(given, FACTS) == rendered


def test_what_is_not_known_stays() -> None:
    assert plan.render("{port} {dir}", {"port": 1}) == "1 {dir}"


def test_a_fact_is_not_rendered_again() -> None:
    assert plan.render("{dir}", {"dir": "{port}", "port": 1}) == "{port}"


@pytest.mark.parametrize("service", ["postgres", "redis", FakeService])
def test_a_plan_survives_its_journey(service: Any) -> None:
    found = registry.find(service)
    options = found.options({})
    made = found.plan(options, found.program(options), "s3cret")
    assert plan.decode(plan.encode(made)) == made
    assert json.loads(plan.encode(made))["service"] == found.name


def test_a_command_s_plan_survives_too(tmp_path: Path) -> None:
    found = registry.find("command")
    options = found.options({"command": ["true", "{port}", 'quoted " {dir}'], "env": {"A": "{port}"}})
    made = found.plan(options, found.program(options), "s3cret")
    assert plan.decode(plan.encode(made)) == made
    assert plan.render(made.command[1:], FACTS) == ["6000", 'quoted " /d']


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_every_built_in_plan_survives_with_the_types_of_its_parts(name: str) -> None:
    made = accounts.plan_of(registry.find(name))
    again = plan.decode(plan.encode(made))
    assert again == made
    assert [type(part) for part in again] == [type(part) for part in made]
    assert plan.encode(again) == plan.encode(made)


def test_every_part_of_a_plan_survives() -> None:
    made = plan.Plan(
        service="x",
        command=["x"],
        environment={},
        ready={},
        companions=[plan.Companion(["y"], {"kind": "tcp"})],
        ports=plan.Ports(["side"], 2, inherits_socket=True, owned=False, probe_authenticates=True),
        stop=plan.Stop(15, 0.5),
        template=plan.Template("key", ["z"], {"file": {"a": 1}}, "secret", ".*"),
        snapshot=plan.SnapshotSupport(2, [0, -15], {"kind": "running"}, "secret"),
        paths=plan.PathLimits("[ ]", 100),
        leftovers=plan.Leftovers(["/tmp/x*"], {"target": "a:b"}),
    )
    assert plan.decode(plan.encode(made)) == made
    assert isinstance(plan.decode(plan.encode(made)).snapshot, plan.SnapshotSupport)


@pytest.mark.parametrize("service", ["postgres", "redis", FakeService])
def test_the_secret_is_in_no_command_line(service: Any) -> None:
    found = registry.find(service)
    options = found.options({})
    made = found.plan(options, found.program(options), "s3cret")
    commands = [made.command, *([made.template.command] if made.template else [])]
    assert not any("s3cret" in argument for command in commands for argument in command)
    assert not any("s3cret" in value for value in made.environment.values())
