"""`servicectx open`: the command that a run prints at its end starts the service on the kept data."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from servicectx import managed
from servicectx.testing import FakeService
from tests.cli.command import COMMAND, Terminal, cli
from tests.leftovers import processes, wait_for_none


@pytest.fixture
def kept(home: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """Kept data of a Postgres in the role `orders`."""
    with managed("postgres", name="orders", dbname="shop", keep_data=True) as pg, psycopg.connect(pg.url) as connection:
        connection.execute("create table found as select 42 n")
    path = Path(re.findall("servicectx open (.*)", caplog.text)[-1])
    yield path
    shutil.rmtree(path)


def found(url: str) -> list[tuple[int]]:
    with psycopg.connect(url) as connection:
        return connection.execute("select n from found").fetchall()


def add(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("insert into found values (43)")


@pytest.mark.parametrize("key", ["\x03\x03", "\x03"], ids=["twice", "once"])
def test_on_a_terminal_it_runs_until_ctrl_c_and_the_data_stay(key: str, kept: Path, home: Path, tmp_path: Path) -> None:
    with Terminal("open", kept, cwd=tmp_path) as terminal:
        url = terminal.expect(r"(postgresql://\S+)").group(1)
        terminal.expect("Ctrl-C stops it, and the data stay")
        assert found(url) == [(42,)]
        add(url)
        terminal.type(key)
        terminal.expect("stopping; the data stay")
        assert terminal.end() == 0
    assert processes(home) == []
    with managed("postgres", data=kept) as pg:
        assert found(pg.url) == [(42,), (43,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it(number: signal.Signals, kept: Path, home: Path, tmp_path: Path) -> None:
    opened = subprocess.Popen([*COMMAND, "open", "-q", str(kept)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert opened.stdout is not None
    with opened:
        assert found(opened.stdout.readline().strip()) == [(42,)]
        opened.send_signal(number)
        assert opened.wait(40) == 0
    assert processes(home) == []


def test_a_command_gets_the_variables_and_its_status_is_passed_on(kept: Path, home: Path, tmp_path: Path) -> None:
    script = (
        "import os, psycopg; "
        "print(psycopg.connect(os.environ['DATABASE_URL']).execute('select n from found').fetchall()); "
        "print('SERVICECTX_ORDERS_DETAILS' in os.environ); raise SystemExit(7)"
    )
    done = cli("open", "-q", kept, "--", sys.executable, "-c", script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (7, "[(42,)]\nTrue\n"), done.stderr
    assert processes(home) == []
    assert (kept / "kept.json").is_file()


def test_a_command_gets_the_environment_of_run(kept: Path, tmp_path: Path) -> None:
    """Without variables of another server, and with the templates of the project."""
    (tmp_path / "pyproject.toml").write_text('[tool.servicectx.env]\nDB = "{orders.dbname}"\n')
    script = "import os; print(os.environ['DB'], 'PGSERVICE' in os.environ)"
    theirs = {"PGSERVICE": "of another server"}
    done = cli("open", "-q", kept, "--", sys.executable, "-c", script, cwd=tmp_path, env=theirs)
    assert done.stdout == "shop False\n", done.stderr


def test_details_as_json(kept: Path, tmp_path: Path) -> None:
    opened = subprocess.Popen([*COMMAND, "open", "-q", "--json", str(kept)], cwd=tmp_path, stdout=subprocess.PIPE)
    assert opened.stdout is not None
    text = b""
    while not text.endswith(b"}\n"):
        text += opened.stdout.readline()
    details = json.loads(text)
    assert (details["name"], details["dbname"]) == ("orders", "shop")
    assert found(details["url"]) == [(42,)]
    opened.send_signal(signal.SIGINT)
    assert opened.wait(40) == 0
    opened.stdout.close()


def test_it_says_that_the_server_died(kept: Path, home: Path, tmp_path: Path) -> None:
    opened = subprocess.Popen(
        [*COMMAND, "open", "-q", str(kept)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert opened.stdout is not None
    with opened:
        opened.stdout.readline()
        os.kill(int((kept / "run" / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        _, problem = opened.communicate(timeout=40)
    assert opened.returncode == 1
    assert "died while it was in use" in problem
    wait_for_none(home, 10)
    with managed("postgres", data=kept) as pg:
        assert found(pg.url) == [(42,)]


def test_it_can_be_killed_at_once_and_opened_again(kept: Path, home: Path, tmp_path: Path) -> None:
    opened = subprocess.Popen([*COMMAND, "open", "-q", str(kept)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert opened.stdout is not None
    with opened:
        url = opened.stdout.readline().strip()
        add(url)
        opened.kill()
    done = cli("open", "-q", kept, "--", sys.executable, "-c", "pass", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with managed("postgres", data=kept) as pg:
        assert found(pg.url) == [(42,), (43,)]


def test_errors_say_what_to_do(tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    done = cli("open", tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}: it holds no kept.json, so keep_data did not leave it" in done.stderr
    assert "servicectx prune" in done.stderr
    done = cli("open", tmp_path, "--", "true", cwd=tmp_path)
    assert done.returncode == 125
    caplog.set_level(logging.WARNING)
    with managed(FakeService, keep_data=True):
        pass
    path = Path(re.findall("servicectx open (.*)", caplog.text)[-1])
    done = cli("open", path, cwd=tmp_path)
    assert done.returncode == 1
    assert f"managed(ITS_CLASS, data={str(path)!r})" in done.stderr
    shutil.rmtree(path)
    assert cli("open", "--help", cwd=tmp_path).returncode == 0
