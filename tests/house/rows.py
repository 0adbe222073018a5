"""Rows of the tables "you had / you write" in docs/coming-from, as tests of one generated module for each page."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import servicectx
from tests.house.test_docs import FENCE

PAGES = Path(__file__).parents[2] / "docs/coming-from"
HEADER = "| you had | you write |"

# Details that the rows use: their names, and the fixtures that give them. `cache` is a Redis.
DETAILS = {"pg": "managed_postgres", "cache": "managed_redis", "s3": "managed_s3", "aws": "managed_moto"}
GIVEN = {*DETAILS, "monkeypatch", "managed_service"}
FIXTURES = re.compile(r"(managed|isolated)_\w+")

PRELUDE = """\
import os, subprocess, sys, unittest
import boto3, psycopg, pytest, redis
import servicectx
from servicectx import *
from servicectx import Managed
from servicectx_pytest import service_fixture
from sqlalchemy import create_engine
from conftest import held
"""

CONFTEST = """\
from contextlib import ExitStack

import pytest

held = ExitStack()


def pytest_sessionfinish():
    held.close()
""" + "".join(
    f'\n\n@pytest.fixture(scope="session", name="{name}")\ndef give_{name}({fixture}):\n    return {fixture}\n'
    for name, fixture in DETAILS.items()
)

# A service of a row starts its server, which stays for equal rows of other pages. `up` and `down` are for the project:
# without the scope of the rows.
HELPER = """
def run(value):
    if isinstance(value, Managed):
        held.enter_context(value)


def shell(command):
    folder = os.path.dirname(__file__)
    names = {"SERVICECTX_SCOPE"} if "servicectx up" in command else set()
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
"""


class Row(NamedTuple):
    page: Path
    line: int
    had: str
    written: str

    @property
    def test(self) -> str:
        return f"test_row_{self.line}"

    def __str__(self) -> str:
        return f"{self.page.name}, line {self.line}"


def pages() -> list[Path]:
    """The pages with a table."""
    return [page for page in sorted(PAGES.glob("*.md")) if page.name != "index.md"]


def rows(page: Path) -> Iterator[Row]:
    """The rows of the tables that begin with `HEADER`."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("|"):
            inside = False
        elif line == HEADER:
            inside = True
        elif inside and not line.startswith("|---"):
            cells = re.split(r"(?<!\\)\|", line.strip("|"))
            assert len(cells) == 2, f"{page.name}, line {number}: {len(cells)} cells"
            had, written = ("\n".join(re.findall(r"`([^`]+)`", cell)).replace("\\|", "|") for cell in cells)
            yield Row(page, number, had, written)


def kinds(page: Path) -> list[str]:
    """The names in the right column of the table "tool / servicectx", which has the names of services."""
    _, found, after = page.read_text(encoding="utf-8").partition("| servicectx |\n|---|---|\n")
    lines = after.partition("\n\n")[0].splitlines() if found else []
    return [name for line in lines for name in re.findall(r"`([^`]+)`", line.split(" | ")[1])]


def commands(code: str) -> list[str]:
    """The commands of a cell: lines that begin with `$`."""
    return [line.removeprefix("$ ") for line in code.splitlines() if line.startswith("$ ")]


def parsed(code: str) -> ast.Module:
    """The syntax tree of a cell. The head of a block needs no body. Raises SyntaxError."""
    lines = code.splitlines()
    open_ends = [
        f"{line} pass" if line.endswith(":") and not lines[n + 1 : n + 2] else line for n, line in enumerate(lines)
    ]
    return ast.parse("\n".join(open_ends))


def without_effect(code: str) -> bool:
    """Whether a cell with Python code only sets variables, so that a test of it shows nothing."""
    sets = (ast.Import, ast.ImportFrom, ast.Assign)
    tree = parsed(code)
    idle = [
        isinstance(node, sets) or (isinstance(node, ast.Expr) and "monkeypatch.setenv(" in ast.unparse(node))
        for node in tree.body
        if not _fixtures(node)
    ]
    return all(idle) and not all(isinstance(node, ast.ImportFrom) for node in tree.body) and bool(idle)


def module(page: Path) -> str:
    """The test module of a page: its Python blocks without a title, then a test for each row."""
    blocks = [
        found[3] for found in FENCE.finditer(page.read_text(encoding="utf-8")) if found[1] == "python" and not found[2]
    ]
    found = list(rows(page))
    parts = [PRELUDE, *blocks, HELPER]
    fixtures = {name for block in blocks for name in _fixtures(ast.parse(block))}
    for row in found:
        if not commands(row.written):
            fixtures |= _fixtures(parsed(row.written))
    known = _globals("\n".join(parts))
    for row in found:
        parts.append(_shell(row) if commands(row.written) else _python(row, fixtures, known))
    return "\n\n".join(parts)


def _shell(row: Row) -> str:
    command = " && ".join(commands(row.written))
    return f"def {row.test}():\n    shell({command!r})\n"


def _python(row: Row, fixtures: set[str], known: set[str]) -> str:
    """Imports, definitions and fixtures are statements of the module. Other statements are the body of a test."""
    tree = parsed(row.written)
    top: list[ast.stmt] = []
    body: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            node.name = row.test
            return "\n".join(ast.unparse(part) for part in [*top, node]) + "\n"
        defines = isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)) or _fixtures(node)
        (top if defines else body).append(node)
    if body and isinstance(last := body[-1], ast.Expr):
        call = ast.Expr(ast.Call(ast.Name("run", ast.Load()), [last.value], []))
        body[-1] = ast.Assert(last.value) if isinstance(last.value, ast.Attribute) else call
    own = {name for node in top for name in _fixtures(node)}
    used = [node for part in body for node in ast.walk(part) if isinstance(node, ast.Name)]
    names = {node.id for node in used} - {node.id for node in used if isinstance(node.ctx, ast.Store)}
    wanted = own | {name for name in names - known if name in GIVEN | fixtures or FIXTURES.fullmatch(name)}
    lines = [ast.unparse(ast.fix_missing_locations(node)) for node in body] or ["pass"]
    indented = "\n".join(f"    {line}" for text in lines for line in text.splitlines())
    head = "\n".join(ast.unparse(node) for node in top)
    return f"{head}\n\n\ndef {row.test}({', '.join(sorted(wanted))}):\n{indented}\n"


def _fixtures(tree: ast.AST) -> set[str]:
    """Names that a statement, or a module, binds to a fixture."""
    found: set[str] = set()
    for node in tree.body if isinstance(tree, ast.Module) else [tree]:
        if isinstance(node, ast.Assign) and "service_fixture(" in ast.unparse(node.value):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(each) for each in node.decorator_list):
            found.add(node.name)
    return found


def _globals(source: str) -> set[str]:
    """Names of the standard library, and names that a module binds, except for fixtures."""
    tree = ast.parse(source)
    bound = {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    bound |= {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return (bound | {*servicectx.__all__, *dir(builtins)}) - _fixtures(tree)
