"""Variables `SERVICECTX_...` without effect, which `servicectx doctor` lists."""

import json
import re
from pathlib import Path

import pytest

from servicectx.cli import own_variables
from servicectx.cli.own_variables import unknown
from tests.cli.command import cli

ROOT = Path(__file__).parents[2]
SERVICES = ("postgres", "redis", "s3", "orders")


@pytest.mark.parametrize(
    ("variable", "guess"),
    [
        ("SERVICECTX_LINGR", "SERVICECTX_LINGER"),
        ("SERVICECTX_CACHESIZE", "SERVICECTX_CACHE_SIZE"),
        ("servicectx_home", "SERVICECTX_HOME"),
        ("SERVICECTX_POSTGERS_DETAILS", "SERVICECTX_POSTGRES_DETAILS"),
        ("SERVICECTX_ODERS_DETAILS", "SERVICECTX_ORDERS_DETAILS"),
        ("SERVICECTX_REDIS_DETAIL", "SERVICECTX_REDIS_DETAILS"),
        ("SERVICECTX_REDIS_BINS", "SERVICECTX_REDIS_BIN"),
        ("SERVICECTX_COLOUR_OF_EVERYTHING", None),
    ],
)
def test_a_variable_without_effect_is_found(variable: str, guess: str | None) -> None:
    assert unknown({variable: "1", "PATH": "/"}, SERVICES) == [(variable, guess)]


@pytest.mark.parametrize(
    "variable",
    [
        *own_variables.FIXED,
        "SERVICECTX_POSTGRES_DETAILS",
        "SERVICECTX_REDIS_BIN",
        "SERVICECTX_DB_DETAILS",
        "SERVICECTX_CUSTOMERS_DETAILS",
    ],
)
def test_a_variable_with_an_effect_is_not(variable: str) -> None:
    """Any name may be a role, so the variable for its details may have an effect."""
    assert unknown({variable: "1"}, SERVICES) == []


def test_the_list_is_what_the_code_reads_and_the_page_describes() -> None:
    read = set()
    for path in (*(ROOT / "servicectx").rglob("*.py"), *(ROOT / "integrations").rglob("*.py")):
        read |= set(re.findall(r'"(SERVICECTX_[A-Z_]+)"', path.read_text(encoding="utf-8")))
    with_name = {name for name in read if re.search("_(DETAILS|BIN)$", name)}
    assert set(own_variables.FIXED) == read - with_name - {"SERVICECTX_"}
    page = (ROOT / "docs/environment.md").read_text(encoding="utf-8")
    internal = {"SERVICECTX_TEST_PAUSE"}
    assert not [name for name in own_variables.FIXED if name not in internal and f"`{name}`" not in page]


def test_doctor_lists_them(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.servicectx]\norders = "redis"\n')
    findings = json.loads(cli("doctor", "--json", cwd=tmp_path).stdout)
    assert [found["result"] for found in findings if found["what"] == "variables"] == ["ok"]
    wrong = {"SERVICECTX_ODERS_DETAILS": "{}", "SERVICECTX_FAVOURITE": "1"}
    done = cli("doctor", cwd=tmp_path, env=wrong)
    assert done.returncode == 1
    misspelt = "SERVICECTX_ODERS_DETAILS (did you mean SERVICECTX_ORDERS_DETAILS?)"
    assert f"without effect: SERVICECTX_FAVOURITE, {misspelt}" in done.stdout
    assert "correct the names, or unset the variables" in done.stdout
    done = cli("doctor", cwd=tmp_path, env={"SERVICECTX_FAVOURITE": "1"})
    assert done.returncode == 0, "a variable of another program is not a problem"
    assert "without effect: SERVICECTX_FAVOURITE" in done.stdout
