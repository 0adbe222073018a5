"""Persistent data: found again by project and name, after any end; removed by name alone."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servicectx import (
    HomeError,
    InvalidOption,
    KeptDataError,
    NotSupported,
    SetupFailed,
    StartFailed,
    isolated,
    managed,
)
from servicectx.cli import app
from servicectx.request import opened_data
from servicectx.services import registry
from servicectx.state import persistent, storage
from servicectx.state.marked import MarkedDirectory
from servicectx.testing import FakeDetails, FakeService
from tests import leftovers, namespaces
from tests.detector import wait_for
from tests.services import table


@pytest.fixture(autouse=True)
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """SERVICECTX_DATA, and a project as the working directory."""
    path = Path(os.environ["SERVICECTX_DATA"])
    (tmp_path / "pyproject.toml").write_text('[tool.servicectx]\norders = {service = "fake", persist = true}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", {**registry._registered, "fake": FakeService()})
    yield path
    assert leftovers.processes(path) == []


def cli(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status and output of one command, in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        app.run(list(arguments))
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out + shown.err


def only_data() -> persistent.Found:
    (found,) = persistent.scan()
    return found


# -- one name, one place -------------------------------------------------------------------------------------------


def test_the_same_name_finds_the_same_data_password_and_port(
    place: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with managed("orders") as first:  # persist is in pyproject.toml
        first.ask("SET colour green")
    container = only_data().path
    assert container.is_relative_to(place / "servicectx-persistent")
    assert container.name == "orders"
    assert ("does not survive a reboot" in caplog.text) == storage.is_memory(container)
    assert leftovers.files(home) == []
    with managed("orders") as second:
        assert second.ask("GET colour") == "green"
        assert (second.url, second.password) == (first.url, first.password)
    with managed(FakeService, name="orders", persist=True, scope="user") as other:
        assert other.ask("GET colour") != "green"  # another scope has other data
    assert len(list(persistent.scan())) == 2
    with managed(FakeService, name="Ö/../x", persist=True):
        pass
    assert re.fullmatch("x-[0-9a-f]{8}", next(found.path.name for found in persistent.scan() if "x" in found.path.name))


def test_a_port_that_another_program_has_is_replaced_and_the_program_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with managed("orders") as first:
        pass
    with socket.create_server(("127.0.0.1", first.port)), managed("orders") as second:
        assert second.port != first.port
    assert f"orders listens on port {second.port} now: its former port {first.port} was in use by" in caplog.text
    assert str(os.getpid()) in caplog.text
    with managed("orders") as third:
        assert third.port == second.port


def test_starts_at_once_share_one_server() -> None:
    services = [managed("orders") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        every = list(pool.map(lambda service: service.__enter__(), services))
    try:
        assert len({(details.port, details.password) for details in every}) == 1
        assert sorted(service.joined for service in services) == [False, True, True, True]
        with managed("orders", setup=None) as other:
            assert other.port == every[0].port
        with pytest.raises(KeptDataError, match="the data is in use"):  # other options are another instance
            managed("orders", label="other", timeout=20).__enter__()  # type: ignore[call-overload]
        with pytest.raises(NotSupported, match="its data stays over a restart"):
            services[0].restart(empty=True)
    finally:
        for service in services:
            service.__exit__()


def test_one_run_has_no_data_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_RUN_SCOPE", f"run-{'0' * 16}")
    assert managed("orders").scope == "project"
    assert managed(FakeService, scope=f"run-{'1' * 32}", persist=True).scope == "project"  # as the pytest plugin does
    assert managed(FakeService).scope == f"run-{'0' * 16}"


@pytest.mark.parametrize(
    ("arguments", "option", "problem"),
    [
        ({"scope": "private"}, "scope", "data that a later run finds again"),
        ({"data": "/x"}, "data", "cannot be combined with persist: it names other data"),
        ({"storage": "disk"}, "storage", "SERVICECTX_DATA is the place"),
        ({"setup": print, "snapshot": "1"}, "snapshot", "not made a second time"),
        ({"persist": "yes"}, "persist", "'yes' is not True or False"),
    ],
    ids=["scope", "data", "storage", "snapshot", "value"],
)
def test_what_contradicts_persist_is_refused_at_the_call(arguments: dict[str, Any], option: str, problem: str) -> None:
    with pytest.raises(InvalidOption, match=problem) as refused:
        managed(FakeService, **{"persist": True, **arguments})
    assert refused.value.option == option


def test_a_service_without_data_is_refused_before_the_start(place: Path) -> None:
    with pytest.raises(InvalidOption, match=r"there is nothing to keep: .* or omit persist") as refused:
        managed("moto", persist=True).__enter__()
    assert refused.value.option == "persist"
    assert not place.exists()


# -- deaths --------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal
import psycopg
from servicectx import isolated, managed

lease = managed("postgres", name="shop", persist=True)
with lease as details:
    processes = lease._claim.instance.processes(lease._claim.state.id)
    connection = psycopg.connect(details.url, autocommit=True)
    connection.execute("create table found as select generate_series(1, 1000) n")
    isolated(details).__enter__()
    for victim in (processes.watchdog, processes.keeper, processes.server):
        os.kill(victim.pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.timeout(200)
def test_data_outlive_the_death_of_all_processes_and_the_loss_of_the_home(
    home: Path, run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a reboot: no process, no file in the home, a lock file of a dead server beside the data."""
    done = subprocess.run([sys.executable, "-c", KILLED], check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL
    wait_for(lambda: not leftovers.processes(home), 20)
    container = only_data().path
    assert (container / "run/data/postmaster.pid").exists()
    for found in (home / "servicectx-home").iterdir():
        if found.name != "SERVICECTX.TAG":
            shutil.rmtree(found) if found.is_dir() else found.unlink()
    with managed("postgres", name="shop", persist=True, timeout=100) as pg:
        with psycopg.connect(pg.url, autocommit=True) as connection:
            assert connection.execute("select count(*), sum(n) from found").fetchone() == (1000, 500500)
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                assert connection.execute(f"show {setting}").fetchone() == ("on",)
            (names,) = zip(*connection.execute("select datname from pg_database").fetchall(), strict=True)
            assert not [name for name in names if name.startswith("sc_")]  # what the killed user left
        with isolated(pg) as database, psycopg.connect(database.url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        other = Path(tempfile.mkdtemp(prefix="home-", dir=run_directory))
        with monkeypatch.context() as patch:
            patch.setenv("SERVICECTX_HOME", str(other))
            with pytest.raises(KeptDataError, match="the data is in use") as refused:
                managed("postgres", name="shop", persist=True, timeout=30).__enter__()
        assert "servicectx status" in str(refused.value)
        shutil.rmtree(other)
    with pytest.raises(KeptDataError, match=r"user='postgres', and user='me' is requested") as refused:
        managed("postgres", name="shop", persist=True, user="me").__enter__()
    assert "servicectx persist remove shop" in refused.value.cure
    assert "omit user" in refused.value.cure
    with pytest.raises(KeptDataError, match=r"with another password, and password=\.\.\. is requested"):
        managed("postgres", name="shop", persist=True, password="guess").__enter__()
    record = only_data().record
    old = record._replace(server_version="9.6.1", program="/usr/lib/postgresql/9.6/bin/postgres")
    persistent.complete(container, old)
    major = (record.server_version or "").partition(".")[0]
    with pytest.raises(
        KeptDataError, match=rf"written by postgres 9\.6\.1, and version {major} asked: postgres {major}\.\d+ is req"
    ):
        managed("postgres", name="shop", persist=True, version=major).__enter__()
    with pytest.raises(KeptDataError, match=r"persistent data of 'shop' is of postgres, and fake is requested"):
        managed(FakeService, name="shop", persist=True).__enter__()


ONCE = """
import os, signal, sys
from servicectx import managed
from servicectx.testing import FakeService

def fill(details):
    details.ask("SET runs 1")
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[1] == "fail":
        raise ValueError("no")

with managed(FakeService, name="filled", persist=True, setup=fill) as details:
    print(details.ask("GET runs"))
"""


def test_a_set_up_that_did_not_end_leaves_no_data(home: Path) -> None:
    """A killed set-up and a failed one are the same: the next start makes the data anew."""
    for ending in ("kill", "fail"):
        done = subprocess.run([sys.executable, "-c", ONCE, ending], check=False, timeout=60, stderr=subprocess.DEVNULL)
        assert done.returncode == (-signal.SIGKILL if ending == "kill" else 1)
        wait_for(lambda: not leftovers.processes(home), 20)
        assert list(persistent.scan()) == []
    done = subprocess.run([sys.executable, "-c", ONCE, "none"], check=True, timeout=60, stdout=subprocess.PIPE)
    assert done.stdout == b"1\n"
    assert only_data().record.setup is not None


def test_a_keeper_killed_before_the_end_of_the_set_up_leaves_data_that_the_next_start_replaces(home: Path) -> None:
    def kill(details: FakeDetails) -> None:
        details.ask("SET half 1")
        for process in leftovers.processes(home):
            process.kill()
        raise ValueError("the server is gone")

    with pytest.raises(SetupFailed):
        managed(FakeService, name="half", persist=True, setup=kill).__enter__()
    wait_for(lambda: not leftovers.processes(home), 20)
    assert list(persistent.scan()) == []
    with managed(FakeService, name="half", persist=True) as details:
        assert details.ask("GET half") == ""
    assert only_data().record.setup is None


SHARED = """
from servicectx import KeptDataError, managed
from servicectx.testing import FakeService
try:
    managed(FakeService, name="orders", persist=True, timeout=20).__enter__()
except KeptDataError as error:
    print(error)
"""


def test_another_pid_namespace_sees_that_the_data_is_in_use(run_directory: Path) -> None:
    namespaces.require()
    other = Path(tempfile.mkdtemp(prefix="home-", dir=run_directory))
    with managed("orders"):
        done = subprocess.run(
            ["unshare", "-p", "--fork", "--mount-proc", sys.executable, "-c", SHARED],
            env=os.environ | {"SERVICECTX_HOME": str(other)},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert "the data is in use" in done.stdout
    shutil.rmtree(other)


# -- set-ups -------------------------------------------------------------------------------------------------------


def first(details: FakeDetails) -> None:
    details.ask("SET schema 1")


def second(details: FakeDetails) -> None:
    details.ask("SET schema 2")


def test_a_changed_set_up_is_an_error_until_it_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    with managed("orders", setup=first) as details:
        details.ask("SET own 1")
    with managed("orders", setup=first) as details:
        assert details.setup is not None
        assert "first" in details.setup
        with pytest.raises(KeptDataError, match=r"the set-up is now .*second.*, and the data was made by .*first") as e:
            managed("orders", setup=second).__enter__()
        assert "servicectx persist accept orders" in e.value.cure
        assert "servicectx persist remove orders" in e.value.cure
        with managed("orders") as joined:  # without a set-up: the data as it is
            assert joined.ask("GET schema") == "1"
    assert cli(capsys, "persist", "accept", "orders") == (
        0,
        "orders: the next set-up counts as the one that made the data\n",
    )
    for _ in range(2):
        with managed("orders", setup=second) as details:
            assert (details.ask("GET schema"), details.ask("GET own")) == ("1", "1")
            assert details.setup is not None
            assert "second" in details.setup
    with pytest.raises(KeptDataError, match=r"made by the set-up .*second"):
        managed("orders", setup=first).__enter__()
    with managed(FakeService, name="bare", persist=True):
        pass
    with pytest.raises(KeptDataError, match="made without a set-up"):
        managed(FakeService, name="bare", persist=True, setup=first).__enter__()


# -- commands ------------------------------------------------------------------------------------------------------


def test_only_the_removal_by_name_removes_the_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli(capsys, "persist", "list") == (0, "no persistent data\n")
    status, shown = cli(capsys, "up", "--name", "shop=fake", "--persist")
    assert (status, "shop: up until `servicectx down`" in shown) == (0, True)
    with managed(FakeService, name="shop", persist=True) as details:
        details.ask("SET a 1")
        found = only_data()
        (row,) = json.loads(cli(capsys, "status", "--json")[1])
        assert (row["state"], row["persistent"]) == ("in use", str(found.path))
        status, shown = cli(capsys, "persist", "remove", "shop", "--yes")
        assert (status, "an instance runs on the data" in shown) == (1, True)
        with pytest.raises(KeptDataError, match="an instance runs on the data"):
            persistent.remove(found.path)
    status, shown = cli(capsys, "down", "--force")
    assert f"the persistent data of shop stays in {found.path}" in shown
    for command in (["down", "--all", "--force"], ["prune", "--kept-data", "--yes"], ["cache", "--clear"]):
        cli(capsys, *command)
    (row,) = json.loads(cli(capsys, "status", "shop", "--json")[1])
    assert (row["name"], row["state"], row["service"], row["address"]) == ("shop", "stopped", "fake", None)
    assert row["persistent"] == str(found.path)
    assert row["data"] > 0
    assert str(found.path) in cli(capsys, "status")[1]
    assert f"shop  fake     {row['data'] // 1024} kB" in cli(capsys, "persist", "list")[1]
    (row,) = json.loads(cli(capsys, "persist", "list", "--json")[1])
    assert (row["name"], row["in_use"], row["scope"], row["place"]) == ("shop", False, str(tmp_path), str(found.path))
    status, shown = cli(capsys, "persist", "remove", "shop")
    assert (status, "--yes" in shown) == (1, True)
    status, shown = cli(capsys, "persist", "remove", "shpo", "--yes")
    assert (status, "Did you mean 'shop'?" in shown) == (1, True)
    status, shown = cli(capsys, "persist", "remove", "shop", "--scope", "user", "--yes")
    assert (status, f"Elsewhere: --scope project:{tmp_path}" in shown) == (1, True)
    assert only_data().path == found.path
    status, shown = cli(capsys, "persist", "remove", "shop", "--yes")
    assert (status, "shop: removed" in shown) == (0, True)
    assert not found.path.exists()
    with managed(FakeService, name="shop", persist=True) as details:
        assert details.ask("GET a") == ""


# -- the place -----------------------------------------------------------------------------------------------------


def test_the_place_is_the_data_directory_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICECTX_DATA")
    tmp_path.chmod(0o711)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    path = persistent.place(f"project:{tmp_path}", "orders")
    expected = tmp_path / "share/servicectx"
    if os.geteuid() == 0 and str(path).startswith("/var/lib"):  # the accounts of servers cannot pass this directory
        expected = Path("/var/lib/servicectx")
    if sys.platform == "linux":
        assert path.is_relative_to(expected)
    assert path.name == "orders"
    assert tmp_path.name.replace("_", "")[:5] in path.parent.name.replace("_", "")


def test_a_foreign_directory_or_record_is_left_alone(place: Path) -> None:
    with managed("orders"):
        pass
    container = only_data().path
    (container / persistent.FILE).write_text('{"version": 99}\n')
    with pytest.raises(KeptDataError, match="another version of servicectx or another program wrote it"):
        managed("orders").__enter__()
    assert list(persistent.scan()) == []
    for marker in (place / "servicectx-persistent").rglob("SERVICECTX.TAG"):
        marker.unlink()
    with pytest.raises(HomeError, match="servicectx did not make it and leaves it alone"):
        managed(FakeService, name="new", persist=True).__enter__()
    persistent.remove(container)
    assert container.exists()


def test_mariadb_forgets_the_namespaces_of_killed_users() -> None:
    table.require("mariadb")
    service = managed("mariadb", persist=True, timeout=100)
    with service:
        service.exec(["mariadb", "-e", "create database sc_0123456789ab; create database sc_orders"])
    with service:
        shown = service.exec(["mariadb", "-e", "show databases"]).stdout
        assert "sc_orders" in shown
        assert "sc_0123456789ab" not in shown


def test_a_directory_that_another_account_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from servicectx import HomeError
    from servicectx.state import paths

    tmp_path.chmod(0o777)
    monkeypatch.setenv("SERVICECTX_DATA", str(tmp_path))
    with pytest.raises(HomeError, match="another account could replace the data"):
        paths.persistent()


# -- the record and the removal ------------------------------------------------------------------------------------


def made(name: str = "shop") -> persistent.Found:
    with managed(FakeService, name=name, persist=True):
        pass
    return only_data()


def test_a_container_under_removal_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start at the same time makes a container of its own, which the removal does not touch."""
    path = made().path
    removed = []
    original = MarkedDirectory.remove

    def remove(self: MarkedDirectory, name: str) -> None:
        if (self.path / name).exists():
            removed.append(name)
            assert not path.exists()
        original(self, name)

    monkeypatch.setattr(MarkedDirectory, "remove", remove)
    persistent.remove(path)
    assert removed == [".shop.removed"]
    assert list(path.parent.glob(".*.removed")) == []


def test_the_next_start_removes_what_a_killed_removal_left() -> None:
    path = made().path
    persistent.remove(path)
    (path.parent / ".shop.removed" / "run").mkdir(parents=True)
    assert list(persistent.scan()) == []
    made()
    assert not (path.parent / ".shop.removed").exists()


def test_data_of_another_scope_is_refused() -> None:
    path = made().path
    other = persistent.place("scope:other", "shop")
    persistent.make_parent(other, None)
    path.rename(other)
    refused = managed(FakeService, name="shop", persist=True, scope="other")
    with pytest.raises(KeptDataError, match="it is the persistent data of 'shop' in project:"), refused:
        pass


def test_the_data_are_opened_by_the_program_that_wrote_them_last() -> None:
    found = made()
    persistent.complete(found.path, found.record._replace(program="/newer", server_version="2"))
    record = opened_data.open_record(found.path).record
    assert (record.program, record.server_version) == ("/newer", "2")


def test_a_new_program_is_recorded_before_it_touches_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change the data and then fail: the data is never left with an older program in the record."""

    def use(version: str) -> None:
        program = tmp_path / version / "python3"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\n[ "$1" != --version ] || exec echo {version}\nexec {sys.executable} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("SERVICECTX_FAKE_BIN", str(program))

    tmp_path.chmod(0o711)
    use("1.0")
    before = made().record
    use("2.0")
    with pytest.raises(StartFailed):
        managed(FakeService, name="shop", persist=True, fail=7).__enter__()
    after = only_data().record
    assert (before.program, after.program) == (str(tmp_path / "1.0/python3"), str(tmp_path / "2.0/python3"))
    assert after.server_version == "2.0"
    assert after == before._replace(
        program=after.program, program_state=after.program_state, server_version=after.server_version
    )
    use("1.0")
    with pytest.raises(KeptDataError, match=r"python3 2\.0 wrote this data, and none .* python3 1\.0"):
        managed(FakeService, name="shop", persist=True).__enter__()
    use("2.0")
    made()


def test_a_set_up_that_is_accepted_during_a_start_stays_accepted() -> None:
    found = made()

    class Accepting(FakeService):
        def check(self, options: Any, details: FakeDetails) -> bool:
            persistent.accept_setup(found.path)
            return True

    with managed(Accepting, name="shop", persist=True):
        pass
    assert only_data().record.accepts_setup
    with managed(FakeService, name="shop", persist=True, setup=first) as details:
        assert details.ask("GET schema") == ""  # it is recorded, and did not run
    assert not only_data().record.accepts_setup


def test_two_writers_of_a_record_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    found = made()
    with persistent._writing(found.path):
        monkeypatch.setattr(fcntl, "LOCK_EX", fcntl.LOCK_EX | fcntl.LOCK_NB)  # instead of a wait
        with pytest.raises(BlockingIOError):
            persistent.accept_setup(found.path)
    persistent.accept_setup(found.path)
    assert only_data().record.accepts_setup
