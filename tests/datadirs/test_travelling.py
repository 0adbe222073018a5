"""Caches that travel: another installation of the same server, another place of the cache, another checkout."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from servicectx import PostgresDetails, cache_entries, managed
from servicectx.datadirs import digests, sealing
from servicectx.datadirs.sealing import manifest_checksum
from servicectx.keeper import programs
from servicectx.request import builds, depends, key, origin
from servicectx.request.builds import build, is_native
from servicectx.services import binaries
from servicectx.services.plan import Plan
from servicectx.services.postgres.service import Postgres
from servicectx.services.redis.service import Redis
from servicectx.state import paths

runs: list[str] = []


def fill(pg: PostgresDetails) -> None:
    runs.append(pg.url)
    with psycopg.connect(pg.url) as connection:
        connection.execute("create table things as select 'kept' as name")


def things(pg: PostgresDetails) -> list[str]:
    with psycopg.connect(pg.url) as connection:
        return [row[0] for row in connection.execute("select name from things")]


def installed_again(program: str, place: Path) -> Path:
    """A copy of an installation at another path, with another time. Its initdb only fails."""
    tree = Path(program).parents[1]
    package = tree.parent
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.is_dir():
            shutil.copytree(folder, place / folder.name, symlinks=True)
    programs = place / package.name / tree.name / "bin"
    os.utime(programs / "postgres", (1, 1))
    (programs / "initdb").write_text("#!/bin/sh\necho initdb was run >&2\nexit 7\n")
    return programs


@pytest.fixture
def room(run_directory: Path) -> Path:
    """A directory that every account can pass."""
    path = Path(tempfile.mkdtemp(prefix="travelling-", dir=run_directory))
    path.chmod(0o711)
    return path


def test_a_restored_cache_serves_another_installation(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither initdb nor the set-up runs: for the snapshot, and for the template below it."""
    (room / "first").mkdir(mode=0o711)
    monkeypatch.setenv("SERVICECTX_CACHE", str(room / "first"))
    runs.clear()
    with managed("postgres", setup=fill, snapshot="one") as pg:
        assert things(pg) == ["kept"]
    program = str(pg.program)
    before = {entry.kind: entry for entry in cache_entries()}
    assert set(before) == {"snapshots", "templates"}
    assert {entry.service for entry in before.values()} == {"postgres"}
    assert all(pg.version and pg.version.startswith(entry.version) and entry.version for entry in before.values())
    assert before["snapshots"].setup.startswith("tests.datadirs.test_travelling:fill (")
    assert before["snapshots"].project == str(Path.cwd())
    assert (before["templates"].setup, before["templates"].project) == ("", "")

    with tarfile.open(room / "cache.tar", "w") as archive:
        archive.add(room / "first" / "servicectx-cache", "servicectx-cache")
    shutil.rmtree(room / "first")
    (room / "second").mkdir(mode=0o711)
    with tarfile.open(room / "cache.tar") as archive:
        archive.extractall(room / "second", filter="tar")
    monkeypatch.setenv("SERVICECTX_CACHE", str(room / "second"))
    monkeypatch.setenv("SERVICECTX_POSTGRES_BIN", str(installed_again(program, room / "venv")))
    with managed("postgres", setup=fill, snapshot="one") as pg:
        assert things(pg) == ["kept"]
        assert pg.program != program
    with managed("postgres") as plain, psycopg.connect(plain.url) as connection:
        assert connection.execute("select to_regclass('things')").fetchone() == (None,)
    assert len(runs) == 1
    assert {entry.kind: entry.name for entry in cache_entries()} == {kind: old.name for kind, old in before.items()}

    table = next(entry.path for entry in cache_entries() if entry.kind == "snapshots") / "global" / "pg_control"
    content = bytearray(table.read_bytes())
    content[100] ^= 1
    table.write_bytes(content)
    with managed("postgres", setup=fill, snapshot="one") as pg:
        assert things(pg) == ["kept"]
    assert len(runs) == 2, "a damaged snapshot is not used, also in a restored cache"


def test_extensions_of_the_installation_are_in_the_name_of_a_snapshot(tmp_path: Path) -> None:
    """A snapshot may contain an extension, and another installation of the same build may lack it."""
    folder = tmp_path / "share/extension"
    folder.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    program = str(tmp_path / "bin" / "postgres")
    shutil.copy("/bin/true", program)
    names = set()
    for version in ("1.0", "1.1"):
        (folder / "own.control").write_text(f"default_version = '{version}'\n")
        files = Postgres().data_files(program)
        assert files == [str(folder / "own.control")]
        names.add(digests.digest_of_all("beside", files))
    assert len(names) == 2


def test_control_files_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "share/extension"
    folder.mkdir(parents=True)
    (folder / "dangling.control").symlink_to(tmp_path / "removed")
    (folder / "directory.control").mkdir()
    (folder / "own.control").touch()
    assert Postgres().data_files(str(tmp_path / "bin" / "postgres")) == [str(folder / "own.control")]


def test_control_files_in_a_directory_that_cannot_be_passed_are_left_out(room: Path) -> None:
    """Such a directory lists the names of its files, and each look at a file fails."""
    folder = room / "share/extension"
    folder.mkdir(parents=True)
    (folder / "hidden.control").touch()
    folder.chmod(0o444)
    script = f"""
import os
from servicectx.services.postgres.service import Postgres
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
print(Postgres().data_files({str(room / "bin" / "postgres")!r}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    folder.chmod(0o755)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("known", [[], 5, {"path": 5}, {"path": ["one"]}, {"path": [1, 2]}, None])
def test_digests_in_another_form_are_not_used(room: Path, monkeypatch: pytest.MonkeyPatch, known: object) -> None:
    monkeypatch.setenv("SERVICECTX_CACHE", str(room))
    path = shutil.copy("/bin/true", room / "server")
    cache = paths.cache(make=True)
    text = json.dumps(known).replace("path", str(path))
    (cache / digests.FILE).write_text(f"{text}\n{manifest_checksum([text])}")
    monkeypatch.setattr(digests, "_in_process", {})
    assert digests.digest_of(str(path)) == digests.digest_of("/bin/true")


def test_a_digest_is_computed_once(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_CACHE", str(room))
    program = shutil.copy("/bin/true", room / "server")
    os.utime(program, (1, 1))
    while time.time_ns() - os.stat(program).st_ctime_ns <= digests.FRESH:
        pass
    first = digests.digest_of(str(program))
    file = room / "servicectx-cache" / digests.FILE
    assert file.stat().st_mode & 0o777 == 0o600
    text, _, _ = file.read_text().rpartition("\n")
    _, digest = json.loads(text)[str(program)]
    assert digest == first

    def refuse(path: str) -> str:
        raise AssertionError(f"{path} is read again")

    with monkeypatch.context() as patch:
        patch.setattr(digests, "_in_process", {})
        patch.setattr(digests, "_content", refuse)
        assert digests.digest_of(str(program)) == first
    file.write_text(file.read_text().replace(first, "0" * 32))  # its checksum is wrong then
    monkeypatch.setattr(digests, "_in_process", {})
    assert digests.digest_of(str(program)) == first
    with open(program, "ab") as server:
        server.write(b"upgraded")
    assert digests.digest_of(str(program)) != first


def test_a_read_only_cache_costs_only_the_memory_of_digests(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (room / "file").touch()
    monkeypatch.setenv("SERVICECTX_CACHE", str(room / "file"))
    monkeypatch.setattr(digests, "_in_process", {})
    assert digests.digest_of("/bin/true")


def program_copy(room: Path, home: Path) -> Path:
    """The tree of programs that the server's account gets of the installation in `home`."""
    tree = home / "package" / "pginstall"
    plan = Plan(service="x", command=[str(tree / "bin" / "server")], environment={}, ready={}, program_tree=str(tree))
    moved = programs.within_reach(plan, room, (65534, 65534), paths.cache(make=True))
    copy = Path(moved.command[0])
    assert copy.read_bytes() == Path(plan.command[0]).read_bytes()
    return copy.parents[1]


def test_copies_of_programs_are_named_by_their_content(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two installations at other paths and with other times share a copy, whose digest is computed once for each."""
    monkeypatch.setenv("SERVICECTX_CACHE", str(room))
    monkeypatch.setattr(digests, "_in_process", {})
    homes = [room / "one", room / "two"]
    for time_, home in enumerate(homes, 1):
        (home / "package" / "pginstall" / "bin").mkdir(parents=True)
        (home / "package.libs").mkdir()
        home.chmod(0o700)
        shutil.copy("/bin/true", home / "package" / "pginstall" / "bin" / "server")
        (home / "package.libs" / "lib.so").write_text("library")
        for path in home.rglob("*"):
            os.utime(path, (time_, time_))
    while time.time_ns() - os.stat(homes[1] / "package.libs" / "lib.so").st_ctime_ns <= digests.FRESH:
        pass
    copy = program_copy(room, homes[0])
    assert copy.is_relative_to(room / "servicectx-programs")
    assert (copy.parents[1] / "package.libs" / "lib.so").read_text() == "library"
    assert program_copy(room, homes[1]) == copy

    def refuse(place: Path, exclude: str) -> str:
        raise AssertionError(f"{place} is read again")

    monkeypatch.setattr(digests, "_in_process", {})
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "digest", refuse)
        assert [program_copy(room, home) for home in homes] == [copy, copy]
    (homes[1] / "package" / "pginstall" / "share").mkdir()
    (homes[1] / "package" / "pginstall" / "share" / "own.control").write_text("an extension")
    other = program_copy(room, homes[1])
    assert other != copy
    assert (other / "share" / "own.control").exists()
    assert program_copy(room, homes[0]) == copy


def native(path: Path, size: int = builds.SMALLEST) -> Path:
    """A native program of at least that size."""
    content = Path("/bin/true").read_bytes()
    path.write_bytes(content.ljust(size, b"\0"))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("manager", ["mise", "snap", "volta-shim"])
def test_a_link_to_a_package_manager_is_a_shim(tmp_path: Path, manager: str) -> None:
    native(tmp_path / manager)
    (tmp_path / "redis-server").symlink_to(manager)
    assert not is_native(str(tmp_path / "redis-server"))
    assert binaries.real(str(tmp_path / "redis-server")) == str(tmp_path / "redis-server")
    (tmp_path / manager).rename(tmp_path / "valkey-server")
    (tmp_path / "redis-server").unlink()
    (tmp_path / "redis-server").symlink_to("valkey-server")
    assert is_native(str(tmp_path / "redis-server")), "a link to the server itself"


def test_a_small_native_program_is_a_launcher(tmp_path: Path) -> None:
    assert is_native(str(native(tmp_path / "server")))
    assert not is_native(str(native(tmp_path / "launcher", 0)))


def test_the_version_of_a_shim_is_in_its_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shim chooses by the file `version` of the working directory, as asdf does, and is itself never changed."""
    (tmp_path / "shims").mkdir()
    shim, plain = tmp_path / "shims" / "valkey-server", tmp_path / "valkey-server"
    for script in (shim, plain):
        script.write_text("#!/bin/sh\necho asked >> asked\necho Valkey server v=$(cat version) sha=00\n")
        script.chmod(0o755)
    found = []
    for version in ("8.1.0", "9.0.1"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "version").write_text(version)
        monkeypatch.chdir(tmp_path / version)
        found += [builds.build_of(Redis(), str(shim)), builds.build_of(Redis(), str(shim))]
        assert (tmp_path / version / "asked").read_text() == "asked\n", "once in a process"
        assert builds.build_of(Redis(), str(plain)) == build(str(plain)), "another script is not run"
    assert found[0] == found[1] != found[2] == found[3]
    assert found[0].endswith(" version 8.1.0")
    assert str(shim) in found[0]


def test_scripts_and_interpreters_are_bound_to_their_path(tmp_path: Path) -> None:
    """The bytes of the launcher of a Java server are equal in many versions."""
    builds = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "start.sh").write_text("#!/bin/sh\n")
        native(tmp_path / name / "python3.11")
        native(tmp_path / name / "server")
        builds |= {build(str(tmp_path / name / program)) for program in ("start.sh", "python3.11", "server")}
    assert len(builds) == 5
    assert build(str(tmp_path / "one" / "server")) != build(str(tmp_path / "one" / "server"), by_path=True)
    assert not is_native(str(tmp_path / "one" / "start.sh"))
    assert is_native(next(binaries.candidates(Postgres.search, [])))


def checkout(place: Path, name: str, *, file: str = "pyproject.toml", text: str = '[project]\nname = "{}"\n') -> Path:
    place.mkdir()
    (place / file).write_text(text.format(name))
    (place / "setups.py").write_text("def fill(details):\n    pass\n")
    return place


def origin_in(place: Path, monkeypatch: pytest.MonkeyPatch, declares: bool = True) -> str:
    monkeypatch.chdir(place)
    namespace: dict[str, object] = {"__name__": "setups"}
    exec(compile((place / "setups.py").read_text(), str(place / "setups.py"), "exec"), namespace)
    return origin.origin(namespace["fill"], declares)


def test_a_checkout_elsewhere_has_the_same_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = "[metadata]\nname = {}\n"
    places = [
        checkout(tmp_path / "a", "shop"),
        checkout(tmp_path / "b", "shop"),
        checkout(tmp_path / "c", "shop", file="setup.cfg", text=cfg),
        checkout(tmp_path / "d", "shop", text='[tool.poetry]\nname = "{}"\n'),
    ]
    assert {origin_in(place, monkeypatch) for place in places} == {"shop setups.py"}
    assert origin_in(checkout(tmp_path / "e", "other"), monkeypatch) == "other setups.py"
    for number, text in enumerate(("", "[project]\n", "no TOML {}", "project = 1", "[project]\nname = 3\n")):
        place = checkout(tmp_path / f"unnamed-{number}", "", text=text)
        assert origin_in(place, monkeypatch) == f"{place} setups.py", "without a name the path decides"


def test_a_set_up_that_does_not_declare_its_files_is_bound_to_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = checkout(tmp_path / "a", "shop")
    assert origin_in(place, monkeypatch, declares=False) == str(place / "setups.py")

    def fill(details: object) -> None:
        raise NotImplementedError

    def names(*patterns: str) -> str:
        return key.snapshot_text(fill, None, depends.depends_of("postgres", list(patterns), place))

    assert __file__ in names()
    assert "shop" in names("*.toml")
    fill.depends = ["*.toml"]  # type: ignore[attr-defined]
    assert "shop" in names()


def test_a_set_up_without_source_is_bound_to_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout(tmp_path / "a", "shop"))
    assert origin.origin(print, True) == f"{tmp_path / 'a'} "
    assert origin.origin(eval("lambda details: None"), True) == f"{tmp_path / 'a'} <string>"


def test_an_installed_set_up_has_no_path_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout(tmp_path / "a", "shop"))
    assert origin.origin(pytest.fail, True) == "shop <installed>/_pytest/outcomes.py"
    assert origin.origin(subprocess.run, True).startswith("shop /")
