"""The pages for users of other tools: each row "you write" runs, each row "you had" has the syntax of its language.

All rows run in one pytest, so that they share the servers of a scope.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from servicectx import service_names
from tests.house import rows as table
from tests.house.test_docs import FENCE
from tests.integrations.runs import plugins
from tests.leftovers import wait_for_none
from tests.servers import free_port
from tests.services import standins

PORTS = re.compile(r"\bport=(\d{4,5})\b")


@pytest.mark.timeout(600)  # many times the usual length
def test_each_row_runs(tmp_path: Path, home: Path) -> None:
    write(tmp_path)
    results = run(tmp_path)
    assert not wait_for_none(home, 2.0)
    assert not failures([row for page in table.pages() for row in table.rows(page)], results)


def servers(folder: Path) -> dict[str, str]:
    """Variables that name stand-ins for servers that are neither on PyPI nor in Debian, where they are missing."""
    missing = [name for name in ("mongod", "cockroach") if shutil.which(name) is None]
    return {
        f"SERVICECTX_{name.replace('mongod', 'mongodb').upper()}_BIN": str(standins.install(folder / name, name))
        for name in missing
    }


def failures(rows: list[table.Row], results: dict[tuple[str, str], str]) -> str:
    """The rows that failed, or did not run, each with the reason."""
    found = [(row, results.get((row.page.stem, row.test), "it did not run")) for row in rows]
    return "\n\n".join(f"{row}: {row.written}\n{problem}" for row, problem in found if problem)


def test_a_row_that_fails_is_reported(tmp_path: Path) -> None:
    rows = [table.Row(tmp_path / "page.md", line, "pg", "pg.url") for line in (1, 2, 3)]
    text = failures(rows, {("page", "test_row_1"): "", ("page", "test_row_2"): "AttributeError\n"})
    assert text == "page.md, line 2: pg.url\nAttributeError\n\n\npage.md, line 3: pg.url\nit did not run"


def write(folder: Path) -> None:
    """Write a directory for each page: its files, and its rows as a module. Fixed ports become free ports."""
    (folder / "conftest.py").write_text(table.CONFTEST)
    for page in table.pages():
        below = folder / page.stem
        below.mkdir()
        for _, title, text in FENCE.findall(page.read_text(encoding="utf-8")):
            if title:
                (below / title).write_text(text)
            if title.endswith(".sql"):
                (folder / title).write_text(text)  # the working directory of the rows
        source = table.module(page)
        (below / f"rows_{page.stem.replace('-', '_')}.py").write_text(
            PORTS.sub(lambda found: f"port={port_for(found[1])}", source)
        )


def run(folder: Path) -> dict[tuple[str, str], str]:
    """The result of each row, by page and name of the test: an empty text, or the failure."""
    command = "-m pytest -q -W error -p no:cacheprovider --junitxml=report.xml"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, *command.split(), "-o", "python_files=rows_*.py"],
        cwd=folder,
        env=os.environ
        | plugins()
        | servers(folder / "servers")
        | {"PATH": path, "SERVICECTX_SCOPE": "rows", "PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    report = folder / "report.xml"
    assert report.exists(), done.stdout + done.stderr
    cases = ElementTree.parse(report).iter("testcase")
    results = {
        (case.get("classname", "").split(".")[0], case.get("name", "")): "".join(case.itertext()) for case in cases
    }
    assert results, done.stdout + done.stderr
    return results


@functools.cache
def port_for(_: str) -> int:
    """A free port in place of a fixed one: equal rows of several pages share one server."""
    return free_port()


def test_each_row_that_you_had_is_valid() -> None:
    for page in table.pages():
        rows = list(table.rows(page))
        assert len(rows) >= 4, page
        for row in rows:
            assert row.had, row
            assert row.written, row
            assert table.commands(row.written) or not table.without_effect(row.written), (
                f"{row}: it only sets variables"
            )
            check(row)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('monkeypatch.setenv("REDIS_URL", cache.url)', True),
        ("import redis\nurl = cache.url", True),
        ('monkeypatch.setenv("REDIS_URL", cache.url)\nassert visits.count() == 1', False),
        ("from servicectx import RedisDetails", False),
        ('orders_db = service_fixture("postgres", isolated=True)', False),
    ],
)
def test_a_row_that_only_sets_variables_is_found(code: str, expected: bool) -> None:
    assert table.without_effect(code) == expected


def test_tables_of_kinds_have_the_names_of_services() -> None:
    found = {page.name: table.kinds(page) for page in table.pages()}
    assert {name for name, kinds in found.items() if kinds} == {"pifpaf.md", "testcontainers.md"}
    assert {kind for kinds in found.values() for kind in kinds} <= {*service_names()}


def check(row: table.Row) -> None:
    """Shell, Python, or YAML of a compose file."""
    if commands := table.commands(row.had):
        subprocess.run(["bash", "-n", "-c", "\n".join(commands)], check=True)
        return
    try:
        table.parsed(row.had)
    except SyntaxError:
        assert isinstance(yaml.safe_load(row.had), dict), row


def test_the_index_has_a_line_for_each_page_and_each_page_has_its_parts() -> None:
    index = (table.PAGES / "index.md").read_text(encoding="utf-8")
    for page in table.pages():
        text = page.read_text(encoding="utf-8")
        assert index.count(f"]({page.name})") == 1, page
        parts = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert parts[-2:] == ["What does not map", "What you gain"], page
        assert 1 <= text.partition("## What you gain")[2].count("\n- ") <= 3, page


@pytest.mark.parametrize("code", ["with managed('redis') as cache", "$ echo 'open", "a: b: c"])
def test_a_row_with_a_mistake_is_found(code: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, subprocess.CalledProcessError, yaml.YAMLError)):
        check(table.Row(tmp_path / "page.md", 1, code, "pg.url"))
