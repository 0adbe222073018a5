"""Features under behave and its parallel runners: services come and go with their layer, and nothing is left."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.detector import wait_for
from tests.integrations.runs import GONE, Run, copy, instances, services_left

SAMPLE = Path(__file__).with_name("sample")
SCENARIOS = 10

RUNNERS = {
    "behave": "behave",
    "behavex": "behavex",
    "behavex, features": "behavex --parallel-processes 2 --parallel-scheme feature",
    "behavex, scenarios": "behavex --parallel-processes 2 --parallel-scheme scenario",
    "behave-pool": "behave-pool --parallel 2",
}


@pytest.fixture
def project(place: Path) -> Path:
    return copy(SAMPLE, place / "project")


@pytest.mark.parametrize("runner", RUNNERS)
def test_every_runner(project: Path, runner: str) -> None:
    run = Run(project, RUNNERS[runner]).passes()
    assert re.search(rf"{SCENARIOS} scenarios( passed, 0 failed, 0 skipped|,.* failed: 0)", run.output), run.output
    assert [note["status"] for note in run.notes("after_scenario")] == ["passed"] * SCENARIOS
    servers = instances(run.notes("before_all"), "postgres")
    assert len(servers) == 1
    assert len([note for note in run.notes("set-up") if note["instance"] in servers]) == 1
    assert instances([note for note in run.notes("used") if note["name"] == "postgres"], "postgres") == servers
    assert not instances([note for note in run.notes("used") if note["name"] == "orders"], "postgres") & servers
    assert not [note for note in run.notes("after_feature") if note["left"]]


ISOLATED = """
@service.{name}.isolated
Feature: Each scenario has a namespace of its own

  Background:
    Given 1 note in {name}

  Scenario: first
    Then there is a {name}

  Scenario Outline: second and third
    Then there is a <what>

    Examples:
      | what   |
      | {name} |
      | {name} |
"""


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("name", ["postgres", "orders"])
def test_each_scenario_of_an_isolated_feature_has_a_namespace(project: Path, runner: str, name: str) -> None:
    """Of the service of the run, and of a service that the feature alone uses, and holds."""
    for feature in (project / "features").glob("*.feature"):
        feature.unlink()
    (project / "features/isolated.feature").write_text(ISOLATED.format(name=name))
    run = Run(project, RUNNERS[runner]).passes()
    assert [note["status"] for note in run.notes("after_scenario")] == ["passed"] * 3, run.output
    assert len([note for note in run.notes("used") if note["name"] == name]) == 6
    assert not [note for note in run.notes("after_feature") if note["left"]]
    if "scenarios" not in runner:  # there each scenario has a feature of its own
        assert len(instances([note for note in run.notes("used") if note["name"] == name], "postgres")) == 1


def test_each_scenario_of_an_isolated_rule_has_a_namespace(project: Path) -> None:
    for feature in (project / "features").glob("*.feature"):
        feature.unlink()
    (project / "features/rule.feature").write_text("""
Feature: A rule

  Scenario: outside
    Then there is no orders

  @service.orders.isolated
  Rule: isolated
    Scenario: first
      Given 1 note in orders

    @service.orders.isolated
    Scenario: second, with the tag of the rule
      Given 1 note in orders
""")
    run = Run(project, "behave").passes()
    assert len(run.notes("after_scenario")) == 3, run.output
    assert len(run.notes("used")) == 2


def test_a_service_is_gone_with_its_layer_and_lingers_when_asked_to(project: Path) -> None:
    (project / "features/third.feature").unlink()
    assert len(Run(project, "behave").passes().notes("set-up")) == 4
    lingering = Run(project, "behave -D servicectx.linger=3").passes(gone=6)
    assert len(lingering.notes("set-up")) == 2
    command = "behavex --parallel-processes 2 --parallel-scheme scenario -D servicectx.linger=3"
    assert len(Run(project, command).passes(gone=6).notes("set-up")) == 2


def test_options_of_the_command_line_are_checked_and_give_way_to_the_code(project: Path) -> None:
    run = Run(project, "behave -D servicectx.linger=long").end()
    assert run.process.returncode == 1
    assert "'long' is not a number of seconds" in run.output
    (project / "features/environment.py").write_text("""
from servicectx_behave import use_service

def before_all(context):
    print("scopes:", use_service(context, "redis") == use_service(context, "redis", scope="project"))
    print("timeout:", use_service(context, "redis", timeout=30).service)
""")
    for scope, same in (("project", True), ("other", False)):
        run = Run(project, f"behave --tags=none -D servicectx.scope={scope} -D servicectx.timeout=0").end()
        assert "redis: not ready after 0 s" in run.output or "StartTimeout" in run.output, run.output
        run = Run(project, f"behave --tags=none -D servicectx.scope={scope}").end()
        assert f"scopes: {same}\ntimeout: redis" in run.output, run.output


@pytest.mark.parametrize("runner", ["behave", "behavex, features", "behave-pool"])
def test_ctrl_c_in_a_terminal(project: Path, runner: str) -> None:
    run = Run(project, RUNNERS[runner], PAUSE="in a step")
    run.wait_for_note("in a step", 1 if runner == "behave" else 2)
    run.signal_all(signal.SIGINT)
    assert run.end().process.returncode != 0
    assert "ResourceWarning" not in run.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("runner", ["behave", "behavex, features", "behave-pool"])
def test_all_of_it_is_killed(project: Path, runner: str, number: signal.Signals) -> None:
    run = Run(project, RUNNERS[runner], PAUSE="in a step")
    run.wait_for_note("in a step", 1 if runner == "behave" else 2)
    run.signal_all(number)
    assert run.end().process.returncode != 0


@pytest.mark.parametrize(
    ("runner", "number"),
    [("behavex, features", signal.SIGTERM), ("behavex, features", signal.SIGKILL), ("behave-pool", signal.SIGKILL)],
)
def test_the_first_process_is_killed_and_its_workers_live_on(
    project: Path, runner: str, number: signal.Signals
) -> None:
    run = Run(project, RUNNERS[runner], PAUSE="in a step")
    run.wait_for_note("in a step", 2)
    assert services_left(project)
    run.signal(number)
    run.process.wait(10)
    wait_for(lambda: not services_left(project), GONE, lambda: str(services_left(project)))
    run.signal_all(signal.SIGKILL)
    run.end()


@pytest.mark.parametrize("runner", ["behave", "behavex, features", "behave-pool"])
def test_a_hook_that_fails_leaves_nothing(project: Path, runner: str) -> None:
    run = Run(project, RUNNERS[runner], FAIL="before_all").end()
    assert (run.process.returncode == 0) is (runner == "behave-pool"), "behave-pool continues without before_all"
    assert len(instances(run.notes("before_all"), "postgres")) == 1


@pytest.mark.parametrize("command", ["behave --stop", "behavex --stop", "behave-pool --stop --parallel 2"])
def test_stop_at_the_first_failure(project: Path, command: str) -> None:
    (project / "features/a_failure.feature").write_text("""
@service.redis
Feature: It fails

  @service.postgres.isolated
  Scenario: it fails
    Then something fails

  Scenario: it is not run
    Then something fails
""")
    run = Run(project, command).end()
    assert run.process.returncode == 1
    assert len(run.notes("after_scenario")) < SCENARIOS + 2


@pytest.mark.parametrize("runner", ["behavex, features", "behave-pool"])
def test_a_worker_is_killed(project: Path, runner: str) -> None:
    run = Run(project, RUNNERS[runner], PAUSE="in a step", PAUSE_SECONDS="1")
    os.kill(run.wait_for_note("in a step")[0]["pid"], signal.SIGKILL)
    if runner == "behave-pool":  # behave-pool waits for ever
        run.wait_for_note("after_scenario", 3)
        assert run.process.poll() is None
        run.signal_all(signal.SIGINT)
    assert run.end().process.returncode != 0


def test_tags_that_cannot_be_served_fail_only_their_scenario(project: Path) -> None:
    for feature in (project / "features").glob("*.feature"):
        feature.unlink()
    (project / "features/wrong.feature").write_text("""
Feature: Wrong tags

  @service.postgress
  Scenario: unknown
    Then there is a postgres

  @service.postgres.isolatd
  Scenario: misspelt
    Then there is a postgres

  @service.redis @another.tag
  Scenario: right
    Then there is a redis
""")
    run = Run(project, "behave").end()
    assert "UnknownService: no service is called 'postgress'" in run.output, run.output
    assert "@service.postgres.isolatd is neither @service.NAME nor @service.NAME.isolated" in run.output
    assert "1 scenario passed" in run.output


def test_a_dry_run_starts_nothing(project: Path) -> None:
    assert not Run(project, "behave --dry-run").end().journal.read_text()
