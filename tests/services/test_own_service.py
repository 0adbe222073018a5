"""The example of a service in its own package: installed from its source, used by its name, and tested."""

import importlib
import inspect
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicectx import Isolation, Plan, Service
from servicectx.services.plan import Ports, SnapshotSupport
from tests.house.test_packaging import run
from tests.release import NOT_SOURCE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    """The Python of a new environment with the package; other packages are shared with this environment."""
    place = Path(tempfile.mkdtemp(prefix="sctx-own-"))
    shutil.copytree(ROOT / "examples/own_service", place / "source", ignore=NOT_SOURCE)
    run(sys.executable, "-m", "venv", "--without-pip", place / "venv")
    found = place / "venv/bin/python"
    (site,) = (place / "venv/lib").glob("python*/site-packages")
    (site / "others.pth").write_text(f"{ROOT}\n{ROOT}/integrations\n{sysconfig.get_path('purelib')}\n")
    install = ["-m", "pip", "--python", found, "install", "--no-index", "--no-deps", "--no-build-isolation"]
    run(sys.executable, *install, place / "source")
    yield found
    shutil.rmtree(place)


USE = """\
from servicectx import managed, service_names
from servicectx_notes.service import ask

assert "notes" in service_names()
with managed("notes", limit=5) as notes:
    print(notes, ask(notes, "PUT", "/main/a", "hello").status, sorted(notes.env()))
"""


def test_its_name_is_known_where_it_is_installed(python: Path) -> None:
    output = run(python, "-W", "error", "-c", USE, cwd=Path("/"))
    assert "NotesDetails(service='notes'" in output
    assert "token='***'" in output
    assert "200 ['NOTES_NOTEBOOK', 'NOTES_TOKEN', 'NOTES_URL']" in output


def test_its_command_line_is_known_too(python: Path) -> None:
    output = run(
        python, "-m", "servicectx", "run", "notes", "--", python, "-c", "import os; print(os.environ['NOTES_URL'])"
    )
    assert "\nhttp://127.0.0.1:" in output


def test_its_own_tests_pass(python: Path) -> None:
    source = python.parents[2] / "source"
    assert "$ pip install .\n$ python -m pytest\n" in (source / "README.md").read_text()
    output = run(python, "-m", "pytest", "-p", "no:cacheprovider", cwd=source, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "4 passed" in output


def test_authors_are_told_of_all_that_they_may_give() -> None:
    page = (ROOT / "docs/own-services.md").read_text()
    fields = set(Plan._fields) - {"prefetcher"}  # for services with copies ahead of demand
    hooks = {name for name, value in vars(Service).items() if inspect.isfunction(value) and not name.startswith("_")}
    hooks -= {"options", "details_model"}  # internal
    members = {name for name in vars(Isolation) if not name.startswith("_")} - {"clones"}  # for a prefetcher
    assert {name for name in fields if f"| `{name}`" not in page and f", `{name}`" not in page} == set()
    assert {name for name in hooks if f"| `{name}(" not in page} == set()
    parts = {*Ports._fields, *SnapshotSupport._fields}
    assert {name for name in parts if f"| `{name}` |" not in page} == set()
    assert {name for name in members if f"| `{name}(" not in page and f"| `{name}`" not in page} == set()


def test_signatures_on_the_page_are_those_of_the_code() -> None:
    """Rows of tables such as `| `plan(options, program, secret)` |`: names and order of the arguments."""
    page = (ROOT / "docs/own-services.md").read_text()
    compared = []
    for name, text in re.findall(r"^\| `(\w+)\(([^)]*)\)`", page, re.MULTILINE):
        owner = next((cls for cls in (Service, Isolation) if callable(getattr(cls, name, None))), None)
        if owner is not None:
            arguments = [*inspect.signature(getattr(owner, name)).parameters][1:]
            assert [word.split(":")[0].split("=")[0].strip("* ") for word in text.split(",") if word] == arguments, name
            compared.append(name)
    assert {"plan", "program", "details", "open"} <= set(compared)
    assert set(re.findall(r"Plan\.(\w+)", page)) <= set(dir(Plan))


def test_authors_are_told_of_parts_that_are_there() -> None:
    page = (ROOT / "docs/own-services.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| (.*) \|$", page.partition("## Parts to build with")[2], re.MULTILINE)
    assert len(rows) > 5
    for module, text in rows:
        part = importlib.import_module(f"servicectx.{module}")
        assert [name for name in re.findall(r"`([A-Za-z_]+)", text) if hasattr(part, name)], module
    base = importlib.import_module("servicectx.services.base")
    assert set(re.findall(r"`(\w+)`", dict(rows)["services.base"])) <= set(base.__all__)
