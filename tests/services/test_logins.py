"""The login that a caller chooses, with each service's real server and usual client: see `login` in `row.py`."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from servicectx import InvalidOption, managed
from servicectx.services import registry
from servicectx.services.options import option_names
from tests.services import table
from tests.services.row import Login, Row

PAGES = Path(__file__).parents[2] / "docs/services"
SECRETS = ("password", "token", "secret_key")
LOGINS = [pytest.param(row, login, id=f"{row}-{login.name}") for row in table.rows() for login in row.logins]
IMPOSSIBLE = [pytest.param(row, *case, id=f"{row}-{case[0]}") for row in table.rows() for case in row.not_possible]
TEXTS = {"empty": "", "lines": "two\nlines", "nul": "nul\0", "bytes": "\udcff", "long": "long" * 100}

pytestmark = pytest.mark.timeout(300)


def opened(row: Row, **options: Any) -> Any:
    return managed(row.service, timeout=200, **{**row.options, **options})


@pytest.mark.parametrize(("row", "options", "reason"), IMPOSSIBLE)
def test_what_is_not_possible_is_refused_with_the_reason(row: Row, options: dict[str, Any], reason: str) -> None:
    table.require(str(row))
    with table.chosen(row), pytest.raises(InvalidOption, match=re.escape(reason)):
        opened(row, **options).__enter__()
    page = " ".join((PAGES / f"{row.service}.md").read_text(encoding="utf-8").split())
    assert "not possible" in page
    assert reason in page


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(("row", "login"), LOGINS)
def test_a_value_that_no_login_holds_is_refused_before_the_start(row: Row, login: Login, text: str) -> None:
    table.require(str(row))
    for option in login.options.keys() & {"user", *SECRETS}:
        if login.options[option]:
            with table.chosen(row), pytest.raises(InvalidOption) as caught:
                opened(row, **{**login.options, option: text}).__enter__()
            assert caught.value.option == option
            assert not text or text not in str(caught.value)


def test_every_service_with_a_password_has_its_row() -> None:
    tested = {row.service for row in table.rows() if row.logins or row.not_possible}
    choosing = {row.service for row in table.rows() if "password" in option_names(registry.find(row.service).Options)}
    assert choosing <= tested


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pyproject.toml", '[tool.servicectx]\nbus = {{service = "nats", user = "ada", password = {toml}}}\n'),
        ("setup.cfg", "[servicectx]\nbus =\n    service = nats\n    user = ada\n    password = {text}\n"),
    ],
)
def test_a_project_s_files_choose_a_login(
    file: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for toml, cfg, password in (('"hush"', "hush", "hush"), ("false", "false", False)):
        (tmp_path / file).write_text(text.format(toml=toml, text=cfg))
        options = managed("bus")._request.options
        assert (options.user, options.password) == ("ada", password)


def test_the_command_line_chooses_a_login() -> None:
    script = "import os; print(os.environ['NATS_USER'], os.environ['NATS_PASSWORD'])"
    login = ["--set", "nats.user=ada", "--set", "nats.password=hush"]
    done = subprocess.run(
        [sys.executable, "-m", "servicectx", "run", *login, "nats", "--", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.stdout == "ada hush\n", done.stderr
