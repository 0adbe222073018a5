"""The worked example of CONTRIBUTING.md is a whole service: a folder, a test file and a page."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.test_docs import ROOT, blocks
from tests.release import NOT_SOURCE

FILES = {block.title: block.text for block in blocks(ROOT / "CONTRIBUTING.md") if block.title}
NAME = "beanstalk"
MEASURED = "docs/services/measured.json"

# Files with tests of all services together. In the other files `-k` selects the tests of one service.
TOGETHER: tuple[str, ...] = ("test_generate.py", "test_registry.py", "test_security.py", "test_imports.py")
TOGETHER += tuple(f"test_{name}.py" for name in ("choices", "details_urls", "telemetry", "page"))
OF_ALL = "generate.py or registry or security or imports or every or each_service or each_option"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT, tmp_path / "checkout", ignore=NOT_SOURCE, symlinks=True))


def run(checkout: Path, *command: str) -> str:
    path = os.pathsep.join([str(checkout), str(checkout / "integrations")])
    done = subprocess.run(
        [sys.executable, *command],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": path, "SERVICECTX_REQUIRE_SERVERS": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def content(checkout: Path) -> dict[str, bytes]:
    found = [path for path in checkout.rglob("*") if path.is_file() and not {"__pycache__"} & set(path.parts)]
    return {str(path.relative_to(checkout)): path.read_bytes() for path in found if ".pytest_cache" not in path.parts}


@pytest.mark.timeout(600)
def test_the_example_is_added_and_removed(checkout: Path) -> None:
    before = content(checkout)
    for name, text in FILES.items():
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(text)
    run(checkout, "-m", "tests.services.generate")
    run(checkout, "-m", "tests.services.page", "--measure", NAME)
    run(checkout, "-m", "ruff", "check", "--no-cache", *(name for name in FILES if name.endswith(".py")))
    code = "import servicectx; print(servicectx.BeanstalkDetails, servicectx.__file__)"
    assert str(checkout) in run(checkout, "-c", code)
    tests = [str(path.relative_to(checkout)) for path in (checkout / "tests").rglob("*.py") if path.name in TOGETHER]
    run(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", OF_ALL)
    shown = run(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/services", "-k", NAME)
    assert " passed" in shown

    shutil.rmtree(checkout / f"servicectx/services/{NAME}")
    for name in FILES:
        (checkout / name).unlink(missing_ok=True)
    run(checkout, "-m", "tests.services.generate")
    (checkout / MEASURED).write_bytes(before[MEASURED])
    run(checkout, "-m", "tests.services.page")
    assert content(checkout) == before
