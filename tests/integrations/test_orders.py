"""One sample project under every framework: the same tests, one set-up, one server of each kind."""

import re
from pathlib import Path

import pytest

from tests.integrations.runs import Run, copy, instances

PROJECT = Path(__file__).with_name("orders")
TESTS = {
    "test_a_new_price_counts_at_once",
    "test_an_order_is_found_again",
    "test_an_order_is_taken_from_the_stock",
    "test_an_unknown_product_is_refused",
    "test_customers_at_once_get_no_more_than_there_is",
    "test_more_than_the_stock_is_refused",
    "test_orders_are_numbered_from_one",
    "test_the_cache_answers_for_the_price",
}
PASSED = r"\b8 passed|Ran 8 tests|8 scenarios passed, 0 failed|8 scenarios, .* failed: 0"

RUNNERS = {
    "pytest": "pytest pytest_tests",
    "pytest -n 2": "pytest -n 2 pytest_tests",
    "unittest": "python -m unittest discover -s unittest_tests -t .",
    "unittest-parallel": "unittest-parallel -j 2 -s unittest_tests -t .",
    "nose2": "nose2 -s unittest_tests -t .",
    "pytest of unittest": "pytest unittest_tests",
    "behave": "behave",
    "behavex": "behavex --parallel-processes 2 --parallel-scheme scenario -o output-{run}",
    "behave-pool": "behave-pool --parallel 2",
}


def assert_it_ran_all(run: Run) -> None:
    assert re.search(PASSED, run.output), run.output
    names = sorted(note["name"] for note in run.notes("test") if note["service"] == "postgres")
    assert names == sorted(TESTS)


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_same_project_under(runner: str, place: Path) -> None:
    run = Run(copy(PROJECT, place / "orders"), RUNNERS[runner]).passes()
    assert_it_ran_all(run)
    assert len(run.notes("set-up")) == 1
    assert len(instances(run.notes("test") + run.notes("set-up"), "postgres")) == 1
    assert len(instances(run.notes("test"), "redis")) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pytest -n 2", "pytest -n 2"),
        ("unittest-parallel", "unittest-parallel"),
        ("behavex", "behavex"),
        ("pytest -n 2", "unittest"),
        ("unittest", "behave"),
    ],
)
def test_two_runs_at_once(one: str, other: str, place: Path) -> None:
    project = copy(PROJECT, place / "orders")
    journal = project / "notes"
    first = Run(project, RUNNERS[one], journal=journal)
    second = Run(project, RUNNERS[other], journal=journal)
    second.wait()
    first.wait()
    second.passes()
    first.passes()
    notes = first.notes("test")
    assert sorted(note["name"] for note in notes if note["service"] == "postgres") == sorted([*TESTS, *TESTS])
    servers = instances(notes, "postgres")
    assert len(first.notes("set-up")) == len(servers) <= 2
    if "pytest" in one and "pytest" in other:
        assert len(servers) == 2, "runs of pytest never meet"
