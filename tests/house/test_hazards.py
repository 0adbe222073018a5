"""The table of hazards in CONTRIBUTING.md: each row names existing tests, and no test of an attack is left out."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## Hazards and their tests")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", TABLE, re.MULTILINE)
TESTS = {hazard: re.findall(r"`([^`]+)`", tests) for hazard, tests in ROWS if hazard != "hazard"}


def test_each_hazard_has_tests_that_exist() -> None:
    assert len(TESTS) > 20
    for hazard, tests in TESTS.items():
        assert tests, hazard
        for path in tests:
            text = (ROOT / path).read_text(encoding="utf-8")
            assert "\ndef test_" in text or "\ndef main" in text, path


def test_each_test_of_an_attack_is_in_the_table() -> None:
    named = {path for tests in TESTS.values() for path in tests}
    assert {f"tests/hostile/{path.name}" for path in (ROOT / "tests/hostile").glob("test_*.py")} <= named
