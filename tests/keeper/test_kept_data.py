"""Kept data: complete after any end, and opened again by the command that the end of a run prints."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis as redis_client

from servicectx import InvalidOption, KeptDataError, Managed, SetupFailed, StartFailed, managed
from servicectx.client.inventory import remains
from servicectx.services.base import Written
from servicectx.services.postgres.service import Postgres
from servicectx.services.redis.service import Redis
from servicectx.state import keep_record
from servicectx.testing import FakeDetails, FakeService
from tests import leftovers
from tests.detector import MARKER, OWN, wait_for
from tests.services import test_postgres, test_redis

CLIENTS: dict[str, Any] = {"postgres": test_postgres, "redis": test_redis}
ROUNDS = 20


def kept_path(caplog: pytest.LogCaptureFixture) -> Path:
    found = re.findall("servicectx open (.*)", caplog.text)[-1]
    caplog.clear()
    return Path(found)


@pytest.fixture
def fake_path(home: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """The path of kept data of a fake service, with a=1."""
    with managed(FakeService, keep_data=True) as fake:
        fake.ask("SET a 1")
    path = kept_path(caplog)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def only_data(home: Path) -> Path:
    (path,) = [found for found in (home / OWN / "data").iterdir() if found.name != MARKER]
    return path


def content(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


# -- the end comes at once -----------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
def test_rows_committed_right_before_the_end_are_there(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(ROUNDS):
        with managed("postgres", keep_data=True) as pg, psycopg.connect(pg.url, autocommit=True) as connection:
            connection.execute("create table found as select generate_series(1, 1000) n")
        path = kept_path(caplog)
        with managed("postgres", data=path) as pg, psycopg.connect(pg.url) as connection:
            assert connection.execute("select count(*), sum(n) from found").fetchone() == (1000, 500500), number
        shutil.rmtree(path)


@pytest.mark.timeout(400)
def test_keys_set_right_before_the_end_are_there(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(ROUNDS):
        with managed("redis", keep_data=True) as details, redis_client.Redis.from_url(details.url) as connection:
            connection.mset({f"key{n}": n for n in range(1000)})
        path = kept_path(caplog)
        with managed("redis", data=path) as details, redis_client.Redis.from_url(details.url) as connection:
            assert connection.dbsize() == 1000, number
            assert connection.get("key999") == b"999"
        shutil.rmtree(path)


KILL = """
import os, signal, sys
from servicectx import managed
from tests.services import test_{service} as client

lease = managed("{service}", keep_data=True)
with lease as details:
    processes = lease._claim.instance.processes(lease._claim.state.id)
    client.put(details, "colour", "green")
    for victim in sys.argv[1:]:
        os.kill(getattr(processes, victim).pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("service", CLIENTS)
@pytest.mark.parametrize(
    "victims", [(), ("keeper",), ("server",), ("server", "keeper"), ("watchdog", "keeper", "server")], ids=" ".join
)
def test_data_outlive_the_death_of_their_keepers(service: str, victims: tuple[str, ...], home: Path) -> None:
    script = KILL.format(service=service)
    done = subprocess.run([sys.executable, "-c", script, *victims], check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL
    wait_for(lambda: not leftovers.processes(home), 20)
    path = only_data(home)
    with managed(service, data=path) as details:
        assert CLIENTS[service].get(details, "colour") == "green"
    with managed(FakeService):  # the next visitor removes all other remains
        pass
    assert path.is_dir()
    shutil.rmtree(path)


def test_data_that_a_joiner_wished_to_keep_can_be_opened_after_the_keeper_was_killed(home: Path) -> None:
    lease = managed(FakeService)
    with lease as fake:
        with managed(FakeService, keep_data=True):
            fake.ask("SET a 1")
        assert lease._claim is not None
        processes = lease._claim.instance.processes(lease._claim.state.id)
        assert processes is not None
        os.kill(processes.keeper.pid, signal.SIGKILL)
    wait_for(lambda: not leftovers.processes(home), 20)
    path = only_data(home)
    with managed(FakeService, data=path) as again:
        assert again.ask("GET a") == "1"
    shutil.rmtree(path)


def test_settings_are_durable_from_the_start(caplog: pytest.LogCaptureFixture) -> None:
    with managed("postgres", keep_data=True) as pg, psycopg.connect(pg.url) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            assert connection.execute(f"show {setting}").fetchone() == ("on",)
    shutil.rmtree(kept_path(caplog))
    with managed("postgres", keep_data=True, settings={"fsync": False}) as pg, psycopg.connect(pg.url) as connection:
        assert connection.execute("show fsync").fetchone() == ("off",)  # the user's own setting has priority
    shutil.rmtree(kept_path(caplog))


def test_a_start_that_fails_keeps_nothing(home: Path) -> None:
    with pytest.raises(StartFailed):
        managed(FakeService, keep_data=True, fail=3).__enter__()
    assert leftovers.wait_for_none(home, 5) == []


def test_what_a_failed_set_up_left_is_kept_and_named(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fill(fake: FakeDetails) -> None:
        fake.ask("SET a 1")
        raise ValueError("half-way")

    with pytest.raises(SetupFailed):
        managed(FakeService, keep_data=True, setup=fill).__enter__()
    path = kept_path(caplog)
    wait_for(lambda: not leftovers.processes(home), 5)
    with managed(FakeService, data=path) as fake:
        assert fake.ask("GET a") == "1"
    shutil.rmtree(path)


# -- the record ----------------------------------------------------------------------------------------------------


def test_the_record_is_private_and_says_what_wrote_the_data(fake_path: Path) -> None:
    file = fake_path / "kept.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_uid == os.geteuid()
    record = json.loads(file.read_text())
    assert (record["service"], record["name"], record["options"]) == ("fake", "fake", {})
    assert record["program"] == sys.executable


def test_options_are_those_that_the_data_were_made_with(caplog: pytest.LogCaptureFixture) -> None:
    with managed("postgres", name="orders", dbname="shop", user="ada", keep_data=True) as pg:
        test_postgres.put(pg, "colour", "green")
    path = kept_path(caplog)
    with managed("postgres", data=path) as again:
        assert (again.dbname, again.user, again.password) == ("shop", "ada", pg.password)
        assert test_postgres.get(again, "colour") == "green"
    shutil.rmtree(path)


def test_a_set_up_is_not_for_data_that_are_there(fake_path: Path) -> None:
    for argument in ({"setup": print}, {"snapshot": "1"}, {"storage": "disk"}):
        with pytest.raises(InvalidOption, match="data= names existing data"):
            managed(FakeService, data=fake_path, **argument)


# -- paths that are not kept data ----------------------------------------------------------------------------------


def refusal(path: Path, service: Any = FakeService) -> KeptDataError:
    with pytest.raises(KeptDataError) as refused:
        managed(service, data=path)
    return refused.value


def test_a_path_that_is_not_kept_data_is_refused_with_a_cure(fake_path: Path, tmp_path: Path) -> None:
    assert "no such directory" in refusal(tmp_path / "missing").problem
    assert "holds no kept.json" in refusal(tmp_path).problem
    (fake_path / "run" / "data").mkdir(exist_ok=True)
    for inside in ("run", "run/data"):
        assert f"servicectx open {fake_path}" in refusal(fake_path / inside).cure
    wrong_service = refusal(fake_path, "redis")
    assert wrong_service.problem == "this is data of fake, not of redis"


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"version": 99}', b"x" * 3_000_000])
def test_a_record_that_cannot_be_read_is_refused(text: bytes, fake_path: Path) -> None:
    (fake_path / "kept.json").write_bytes(text)
    assert "not a record that this version can read" in refusal(fake_path).problem


def test_a_record_is_not_read_through_a_link_or_from_a_pipe(fake_path: Path, tmp_path: Path) -> None:
    file = fake_path / "kept.json"
    shutil.move(file, tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert "cannot be read" in refusal(fake_path).problem
    file.unlink()
    os.mkfifo(file)
    assert "kept.json" in refusal(fake_path).problem


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_record_of_another_user_is_refused(fake_path: Path) -> None:
    os.chown(fake_path / "kept.json", 65534, -1)
    refused = refusal(fake_path)
    assert "not to you" in refused.problem
    assert f"servicectx open {fake_path}" in refused.cure


def test_a_record_that_others_can_write_is_refused(fake_path: Path) -> None:
    (fake_path / "kept.json").chmod(0o666)
    assert "others can write" in refusal(fake_path).problem


# -- another program -----------------------------------------------------------------------------------------------


def test_data_of_another_version_are_refused_with_both_versions(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with managed("postgres", keep_data=True) as pg:
        pass
    path = kept_path(caplog)
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 99.1'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("SERVICECTX_POSTGRES_BIN", str(tmp_path))
    before = content(path)
    with pytest.raises(KeptDataError) as refused:
        managed("postgres", data=path).__enter__()
    assert f"postgres {pg.version} wrote this data" in refused.value.problem
    assert "99.1" in refused.value.problem
    assert f"install postgres {pg.version}" in refused.value.cure
    assert "SERVICECTX_POSTGRES_BIN" in refused.value.cure
    assert content(path) == before
    shutil.rmtree(path)


def test_a_later_version_reads_data_where_the_service_promises_that() -> None:
    old, new = Written("/a/redis-server", "7.0.15"), Written("/b/redis-server", "7.10.1")
    assert Redis().reads(old, new)
    assert not Redis().reads(new, old)
    assert not Redis().reads(Written("/a/valkey-server", "7.0.15"), new)
    assert Postgres().reads(Written("/a/postgres", "16.1"), Written("/b/postgres", "16.9"))
    assert not Postgres().reads(Written("/a/postgres", "16.1"), Written("/b/postgres", "17.0"))


# -- in use --------------------------------------------------------------------------------------------------------


def test_two_that_open_alike_share_one_instance(fake_path: Path) -> None:
    second = managed(FakeService, data=fake_path)
    with managed(FakeService, data=fake_path) as one, second as two:
        assert second.joined
        assert one == two


def test_data_in_use_are_opened_by_nobody_else(
    fake_path: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with managed(FakeService, data=fake_path) as fake:
        with pytest.raises(KeptDataError, match="in use"):
            managed(FakeService, data=fake_path, label="other").__enter__()
        with pytest.raises(KeptDataError, match="in use"):
            managed(FakeService, data=fake_path, scope="private").__enter__()
        other = tmp_path / "other"
        other.mkdir(mode=0o711)
        with monkeypatch.context() as patch:
            patch.setenv("SERVICECTX_HOME", str(other))
            with pytest.raises(KeptDataError, match="in use"):
                managed(FakeService, data=fake_path).__enter__()
        assert fake_path not in remains().kept  # the list for prune --kept-data
        assert fake.ask("GET a") == "1"
    assert fake_path in remains().kept
    with managed(FakeService, data=fake_path, label="other") as fake:
        assert fake.ask("GET a") == "1"


def test_data_of_an_instance_that_still_runs_are_in_use(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with managed(FakeService, keep_data=True):
        path = only_data(home)
        with pytest.raises(KeptDataError, match="in use"):
            managed(FakeService, data=path).__enter__()
    shutil.rmtree(kept_path(caplog))


def test_a_server_holds_its_data_longer_than_a_killed_keeper(fake_path: Path, home: Path) -> None:
    lease = managed(FakeService, data=fake_path)
    with lease:
        assert lease._claim is not None
        processes = lease._claim.instance.processes(lease._claim.state.id)
        assert processes is not None
        assert processes.server is not None
        assert processes.watchdog is not None
        os.kill(processes.watchdog.pid, signal.SIGSTOP)  # no cleanup during the check
        (number,) = [
            name
            for name in os.listdir(f"/proc/{processes.server.pid}/fd")
            if os.path.realpath(f"/proc/{processes.server.pid}/fd/{name}") == str(fake_path / "kept.json")
        ]
        assert int(number) > 2
        os.kill(processes.watchdog.pid, signal.SIGCONT)


# -- opened data is a user's --------------------------------------------------------------------------------------


def wait_for_end(lease: Managed[Any]) -> None:
    wait_for(lambda: not lease.alive, 10)


def test_opened_data_stay_however_the_instance_ends(fake_path: Path, home: Path) -> None:
    for victims in (("keeper",), ("keeper", "watchdog"), ("server",)):
        lease = managed(FakeService, data=fake_path)
        with lease as fake:
            fake.ask(f"SET {victims[-1]} 1")
            assert lease._claim is not None
            processes = lease._claim.instance.processes(lease._claim.state.id)
            for victim in victims:
                os.kill(getattr(processes, victim).pid, signal.SIGKILL)
            wait_for_end(lease)
        wait_for(lambda: not keep_record.is_locked(fake_path), 10)
        with managed(FakeService, data=fake_path) as again:
            assert again.ask(f"GET {victims[-1]}") == "1"
    wait_for(lambda: not leftovers.processes(home), 10)


def test_opened_data_stay_when_the_home_is_removed_under_their_instance(fake_path: Path, home: Path) -> None:
    moved = fake_path.rename(home.parent / f"{home.name}-moved")
    try:
        before = content(moved / "run" / "data")
        assert before
        with managed(FakeService, data=moved):
            for folder in home.iterdir():
                if folder.is_dir():
                    shutil.rmtree(folder)
        wait_for(lambda: not leftovers.processes(home), 40)
        assert content(moved / "run" / "data") == before
    finally:
        shutil.rmtree(moved)


def test_opened_data_stay_when_the_server_cannot_start_on_them(caplog: pytest.LogCaptureFixture) -> None:
    with managed("postgres", keep_data=True):
        pass
    path = kept_path(caplog)
    (path / "run" / "data" / "global" / "pg_control").write_bytes(b"damaged")
    before = content(path / "run" / "data")
    with pytest.raises(StartFailed):
        managed("postgres", data=path).__enter__()
    after = content(path / "run" / "data")
    assert {name: after.get(name) for name in before if "postmaster" not in name} == {
        name: text for name, text in before.items() if "postmaster" not in name
    }
    assert (path / "kept.json").is_file()
    shutil.rmtree(path)


def test_data_that_were_moved_are_opened_where_they_are(fake_path: Path, tmp_path: Path) -> None:
    moved = shutil.move(fake_path, tmp_path / "a place 'of' mine")
    with managed(FakeService, data=moved) as fake:
        assert fake.ask("GET a") == "1"
