"""Lingering after the last user, and keeping the data."""

import logging
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servicectx import ServiceDied, isolated, managed
from servicectx.client.inventory import running
from servicectx.testing import FakeDetails, FakeService
from tests import leftovers, servers
from tests.detector import wait_for


def is_up(fake: FakeDetails) -> bool:
    return bool(servers.listeners(fake.port))


# -- linger ------------------------------------------------------------------------------------------------------


def test_without_linger_the_service_is_gone_at_once() -> None:
    with managed(FakeService) as fake:
        pass
    assert not is_up(fake)


def test_it_stays_for_the_next_user(home: Path) -> None:
    with managed(FakeService, linger=30) as first:
        first.ask("SET a 1")
    assert is_up(first)
    began = time.monotonic()
    lease = managed(FakeService, linger=0.2)
    with lease as second:
        assert lease.joined
        assert second == first
        assert second.ask("GET a") == "1"
    assert time.monotonic() - began < 20
    assert is_up(first)
    leftovers.end(home)
    leave_the_dead(home)


def leave_the_dead(home: Path) -> None:
    """The test killed keeper and watchdog: the next visitor cleans up."""
    with managed(FakeService):
        pass
    assert leftovers.wait_for_none(home, 2) == []


def test_it_ends_when_nobody_came(home: Path) -> None:
    with managed(FakeService, linger=1.5) as fake:
        pass
    left = time.monotonic()
    assert is_up(fake)
    wait_for(lambda: not is_up(fake), 20)
    assert time.monotonic() - left >= 1.4
    assert leftovers.wait_for_none(home, 2) == []


def test_each_visitor_begins_the_time_anew(home: Path) -> None:
    with managed(FakeService, linger=2.0) as fake:
        pass
    until = time.monotonic() + 3.0
    while time.monotonic() < until:
        time.sleep(0.3)
        with managed(FakeService) as joined:
            assert joined == fake
    assert is_up(fake)
    assert leftovers.wait_for_none(home, 10) == []


def test_the_longest_wish_counts(home: Path) -> None:
    with managed(FakeService, linger=0.1) as fake, managed(FakeService, linger=3.0), managed(FakeService):
        pass
    time.sleep(0.7)
    assert is_up(fake)
    assert leftovers.wait_for_none(home, 10) == []


def test_it_outlives_the_process_that_started_it(home: Path) -> None:
    script = (
        "from servicectx import managed\nfrom servicectx.testing import FakeService\n"
        "with managed(FakeService, linger=60) as fake: print(fake.ask('SET a 1'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    lease = managed(FakeService)
    with lease as fake:
        assert lease.joined
        assert fake.ask("GET a") == "1"
    leftovers.end(home)
    leave_the_dead(home)


def test_it_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("SERVICECTX_LINGER", "2")
    with managed(FakeService) as fake:
        pass
    assert is_up(fake)
    assert leftovers.wait_for_none(home, 10) == []
    with managed(FakeService, linger=0) as fake:
        pass
    assert not is_up(fake)


def test_a_service_that_dies_while_it_lingers_is_cleared(home: Path) -> None:
    with managed(FakeService, linger=60) as fake:
        pass
    fake.ask("EXIT 1")
    assert leftovers.wait_for_none(home, 5) == []
    with managed(FakeService) as fresh:
        assert fresh.ask("GET a") == ""


def test_a_killed_user_s_service_lingers_too(home: Path) -> None:
    script = (
        "import os\nfrom servicectx import managed\nfrom servicectx.testing import FakeService\n"
        "with managed(FakeService, linger=60) as fake: fake.ask('SET a 1'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    with managed(FakeService) as fake:
        assert fake.ask("GET a") == "1"
    leftovers.end(home)
    leave_the_dead(home)


# -- keep_data ---------------------------------------------------------------------------------------------------


def kept(home: Path, caplog: pytest.LogCaptureFixture, name: str) -> Path:
    """The one kept directory, which a warning names. All other files are gone."""
    assert leftovers.processes(home) == []
    found = [record for record in caplog.records if record.name == "servicectx" and record.levelno == logging.WARNING]
    match = re.fullmatch(f"the data of {name} are kept; open them with: servicectx open (.*)", found[-1].getMessage())
    assert match is not None
    place = Path(match[1])
    assert leftovers.files(home) == [str(place)]
    return place


def test_data_and_log_are_kept_and_named(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with managed("postgres", name="orders", keep_data=True) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("create table notes (text text)")
    place = kept(home, caplog, "orders")
    assert stat.S_IMODE(place.stat().st_mode) & 0o077 == 0
    assert (place / "run" / "data" / "PG_VERSION").is_file()
    assert "database system is ready" in (place / "service.log").read_text()
    shutil.rmtree(place)


def test_who_is_overtaken_by_the_keeper_names_them_too(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pause = tmp_path / "paused"
    lease = managed(FakeService, keep_data=True)
    with lease:
        monkeypatch.setenv("SERVICECTX_TEST_PAUSE", f"left:{pause}")
        resuming = threading.Thread(target=_resume_when_all_is_gone, args=(home, pause))
        resuming.start()
    resuming.join()
    shutil.rmtree(kept(home, caplog, "fake"))


def _resume_when_all_is_gone(home: Path, pause: Path) -> None:
    wait_for(lambda: pause.exists() and not leftovers.processes(home), 10.0)
    pause.write_text("")


def test_one_user_s_wish_is_enough(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with managed(FakeService), managed(FakeService, keep_data=True):
        pass
    place = kept(home, caplog, "fake")
    assert (place / "run" / "fake.json").is_file()
    shutil.rmtree(place)


def test_kept_data_are_not_used_again(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = []
    for _ in range(2):
        caplog.clear()
        with managed(FakeService, keep_data=True):
            pass
        places.append(re.findall("servicectx open (.*)", caplog.text)[-1])
    assert len(set(places)) == 2
    assert leftovers.files(home) == sorted(places)
    for place in places:
        shutil.rmtree(place)


@pytest.mark.parametrize(
    ("raw", "keeps"),
    [*((text, True) for text in ("1", "true", "yes")), *((text, False) for text in ("0", "false", "No", "off", ""))],
)
def test_the_wish_may_come_from_the_environment(
    raw: str, keeps: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICECTX_KEEP_DATA", raw)
    with managed(FakeService):
        pass
    left = leftovers.files(home)
    assert bool(left) == keeps
    for place in left:
        shutil.rmtree(place)


def test_data_of_a_service_that_died_are_kept(home: Path) -> None:
    lease = managed(FakeService, keep_data=True)
    with lease as fake:
        fake.ask("EXIT 9")
        wait_for(lambda: isinstance(lease.failure, ServiceDied) and lease.failure.exit_status == 9, 5)
    wait_for(lambda: not leftovers.processes(home), 5)
    (place,) = leftovers.files(home)
    assert (Path(place) / "run" / "fake.json").is_file()
    assert (Path(place) / "service.log").is_file()
    shutil.rmtree(place)


@pytest.mark.parametrize("arguments", [{}, {"linger": 0.5}])
def test_nothing_is_said_where_nothing_is_kept(
    arguments: dict[str, Any], caplog: pytest.LogCaptureFixture, home: Path
) -> None:
    with managed(FakeService, **arguments):
        pass
    assert leftovers.wait_for_none(home, 10) == []
    assert caplog.records == []


def test_the_log_does_not_hold_the_password(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with managed(FakeService, keep_data=True) as fake, managed("redis", keep_data=True) as redis:
        pass
    for place in leftovers.files(home):
        log = (Path(place) / "service.log").read_text()
        assert fake.password not in log
        assert redis.password not in log
        shutil.rmtree(place)
    assert fake.password not in caplog.text
    assert redis.password not in caplog.text


# -- kept namespaces ---------------------------------------------------------------------------------------------------


def test_a_kept_database_stays_and_so_does_its_server(caplog: pytest.LogCaptureFixture) -> None:
    with managed("postgres") as pg, isolated(pg, keep=True) as mine, psycopg.connect(mine.url) as connection:
        connection.execute("create table found (n int)")
    (message,) = [record.getMessage() for record in caplog.records if "kept" in record.getMessage()]
    url = message.removeprefix("kept for you: psql ").partition(" ")[0]
    assert url == mine.url
    assert message.endswith("(its server stays up for 60 minutes after the last user has left)")
    try:
        with managed("postgres") as again:
            assert again == pg
            with isolated(again), isolated(again):
                pass
        time.sleep(0.5)  # time for the removal of returned databases
        with psycopg.connect(url) as connection:
            connection.execute("select n from found")
    finally:
        for up in running():
            up.down(force=True)


def test_the_wish_may_come_inside_the_block(caplog: pytest.LogCaptureFixture) -> None:
    with managed("postgres") as pg:
        isolating = isolated(pg)
        assert isolating.command is None
        with isolating as mine:
            isolating.keep = True
            assert isolating.command == f"psql {mine.url}"
        assert mine.url in caplog.text
        psycopg.connect(mine.url).close()
    for up in running():
        up.down(force=True)


def test_a_kept_logical_database_is_nobody_else_s() -> None:
    script = (
        "from servicectx import isolated, managed\n"
        "with managed('redis') as details, isolated(details, keep=True) as mine: print(mine.db)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "its server stays up" in done.stderr
    with managed("redis") as details:
        taken = [isolated(details) for _ in range(40)]
        assert int(done.stdout) not in [isolating.__enter__().db for isolating in taken]
        for isolating in taken:
            isolating.__exit__()
    for up in running():
        up.down(force=True)
