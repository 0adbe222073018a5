"""A lock of the keeper proves that an instance is alive: from another home, and from another PID namespace."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from servicectx import managed
from servicectx.client import claim as claims
from servicectx.datadirs import prepared
from servicectx.datadirs.cache import Cache
from servicectx.state import container
from servicectx.testing import FakeService
from tests.cli.command import cli
from tests.detector import wait_for

TIMEOUT = 60.0  # seconds
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
CAN_UNSHARE = os.geteuid() == 0 and shutil.which("unshare") is not None
REQUIRED = bool(os.environ.get("SERVICECTX_REQUIRE_SERVERS"))

two_namespaces = pytest.mark.skipif(not CAN_UNSHARE and not REQUIRED, reason="PID namespaces need root and unshare")


# -- data record their home ------------------------------------------------------------------------------------------


def test_live_data_are_not_pruned_from_another_home(home: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir(mode=0o700)
    with managed(FakeService, storage="memory") as fake:
        data = data_of(home)
        assert data.is_dir()
        for arguments in (["prune", "--yes"], ["prune", "--kept-data", "--yes"]):
            result = cli(*arguments, cwd=tmp_path, env={"SERVICECTX_HOME": str(tmp_path / "other")})
            assert result.returncode == 0, result.stderr
            assert str(data) not in result.stdout
        assert data.is_dir()
        assert fake.ask("SET a 1") == "1"
    assert not data.exists()


def test_data_say_whose_they_are(home: Path) -> None:
    with managed(FakeService, storage="memory") as _:
        data = data_of(home)
        record = container.read(data)
        assert record is not None
        assert (record.home, record.kept) == (str(home / "servicectx-home"), False)
        assert f"{record.key}.{record.id}" == data.name
        assert record.origin.is_here()
        assert [found.in_use for found in container.scan(data.parent) if found.path == data] == [True]


def data_of(home: Path) -> Path:
    (state,) = home.glob("servicectx-home/*.json")
    return Path(json.loads(state.read_text())["data_directory"])


def test_kept_data_are_marked_and_live_on(home: Path, tmp_path: Path) -> None:
    """Neither the next start nor a plain prune removes kept data, even if only the home records their path."""
    place = tmp_path / "data"
    place.mkdir(mode=0o700)
    with managed(FakeService, storage=place, keep_data=True):
        data = data_of(home)
    assert container.is_kept(data)
    assert not container.scan(data.parent)[0].in_use
    with managed(FakeService, name="another"):
        pass
    assert str(data) in cli("prune", cwd=tmp_path).stdout
    assert data.is_dir()
    assert cli("prune", "--kept-data", cwd=tmp_path).returncode == 1
    assert data.is_dir()
    assert cli("prune", "--kept-data", "--yes", cwd=tmp_path).returncode == 0
    assert list(place.iterdir()) == [], "the directory is unchanged"


# -- two PID namespaces, one home ------------------------------------------------------------------------------------

LINGER = """
import sys
from servicectx import managed
from servicectx.testing import FakeService
with managed(FakeService, name="there", linger=3600) as fake:
    fake.ask("SET a 1")
print("up", flush=True)
sys.stdin.readline()
print(fake.ask("GET a"), flush=True)
sys.stdin.readline()
"""
VISIT = """
from servicectx import managed
from servicectx.testing import FakeService
with managed(FakeService, name="here") as fake:
    print(fake.ask("SET a 1"))
"""


class Namespace:
    """A PID namespace with a program that replies to each line with a line."""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen(
            [*UNSHARE, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def exchange(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.line()

    def end(self) -> None:
        self.process.kill()  # --kill-child ends all processes of the namespace
        self.process.communicate()


@pytest.fixture
def lingering(home: Path) -> Iterator[Namespace]:
    """A lingering instance without users, alive in another PID namespace."""
    namespace = Namespace(LINGER)
    try:
        assert namespace.line() == "up"
        yield namespace
    finally:
        namespace.end()
        wait_for(lambda: not is_locked(home), TIMEOUT)
        visit()


def is_locked(home: Path) -> bool:
    return bool([path for path in home.glob("servicectx-home/*.*/keeper.lock") if _locked(path)])


def _locked(path: Path) -> bool:
    return subprocess.run(["flock", "-n", str(path), "true"], check=False).returncode != 0


def visit(*prefix: str) -> None:
    done = subprocess.run([*prefix, sys.executable, "-c", VISIT], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


def in_another(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [*UNSHARE, sys.executable, "-m", "servicectx", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)


@two_namespaces
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["prune", "--yes"], 0, "left alone, it runs in another PID namespace"),
        (["prune", "--kept-data", "--yes"], 0, "left alone, it runs in another PID namespace"),
        (["down", "--all"], 1, "runs in another PID namespace"),
        (["down", "--all", "--force"], 1, "runs in another PID namespace"),
        (["status"], 0, "elsewhere"),
        (["doctor"], None, "in another PID namespace: there"),
    ],
)
def test_no_command_in_one_namespace_ends_what_lives_in_another(
    arguments: list[str], status: int | None, message: str, lingering: Namespace
) -> None:
    for done in (in_another(*arguments), cli(*arguments, cwd=Path("/"))):
        assert message in done.stdout + done.stderr
        assert status in (None, done.returncode)
    assert lingering.exchange() == "1"


@two_namespaces
def test_no_start_in_one_namespace_clears_what_lives_in_another(lingering: Namespace, home: Path) -> None:
    visit()
    visit(*UNSHARE)
    assert is_locked(home)
    assert lingering.exchange() == "1"


@two_namespaces
def test_after_the_end_of_its_namespace_a_visitor_clears(lingering: Namespace, home: Path) -> None:
    lingering.end()
    wait_for(lambda: not is_locked(home), TIMEOUT)
    assert list(home.glob("servicectx-home/*.json")), "no process was left to clean up"
    visit(*UNSHARE)
    assert sorted(path.name for path in (home / "servicectx-home").iterdir()) == ["SERVICECTX.TAG", "data"]


STORE = """
import sys
from pathlib import Path
from servicectx.datadirs import prepared
prepared.store(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@two_namespaces
@pytest.mark.parametrize("killed", [False, True])
def test_a_half_made_copy_of_another_namespace_stays_while_its_maker_lives(killed: bool, tmp_path: Path) -> None:
    cache, paused = Cache(tmp_path / "cache", 1 << 20), tmp_path / "paused"
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("content")
    place = cache.place("templates", "fake-0123456789abcdef")
    environment = os.environ | {"SERVICECTX_TEST_PAUSE": f"kept:{paused}"}
    command = [*UNSHARE, sys.executable, "-c", STORE, str(tmp_path / "source"), str(place)]
    with subprocess.Popen(command, env=environment) as maker:
        wait_for(paused.exists, TIMEOUT)
        cache.trim()
        assert len(list(place.parent.iterdir())) == 2, "the copy and its lock"
        if killed:
            maker.kill()
        paused.write_text("")
    if killed:
        assert not place.exists()
        wait_for(lambda: not cache.clear() and not place.parent.exists(), TIMEOUT)
    else:
        assert os.listdir(place.parent) == [place.name]
        assert prepared.is_prepared(place)


# -- process ids alone prove nothing ---------------------------------------------------------------------------------


def test_a_process_of_another_namespace_with_a_recorded_id_is_not_signalled(home: Path) -> None:
    """The record of a dead instance in another PID namespace has the id and start time of a live process here."""
    from servicectx.system import processes

    sleeper = subprocess.Popen(["sleep", "600"])
    try:
        fake: Any = managed(FakeService, linger=3600)
        with fake:
            pass
        (directory,) = home.glob("servicectx-home/*.*/")
        record = directory / "processes.json"
        raw = json.loads(record.read_text())
        for role in ("watchdog", "keeper"):
            os.kill(raw[role][0], signal.SIGKILL)
        wait_for(lambda: processes.identity(raw["server"][0]) is None and not is_locked(home), TIMEOUT)
        raw |= {role: list(processes.identity(sleeper.pid) or ()) for role in ("keeper", "watchdog", "server")}
        raw["origin"][1] = "pid:[1]"
        record.write_text(json.dumps(raw))
        with managed(FakeService, name="another"):
            pass
        assert not directory.exists()
        time.sleep(0.1)
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.timeout(120)
def test_a_record_that_never_comes_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper is stopped, as one whose home takes no record. A second look does not wait for so long again."""
    entered = managed("redis", scope="private")
    entered.__enter__()
    claim = entered._claim
    assert claim is not None
    processes = claim.instance.processes(claim.state.id)
    assert processes is not None
    assert processes.server is not None
    server = psutil.Process(processes.server.pid)
    try:
        os.kill(processes.keeper.pid, signal.SIGSTOP)
        server.kill()
        wait_for(lambda: server.status() == psutil.STATUS_ZOMBIE, TIMEOUT)
        monkeypatch.setattr(claims, "LATE_RECORD_TIME", 1.0)
        assert "its exit was not recorded" in str(claim.failure())
        monkeypatch.setattr(claims, "LATE_RECORD_TIME", 1000.0)
        assert "its exit was not recorded" in str(claim.failure())
    finally:
        os.kill(processes.keeper.pid, signal.SIGCONT)
    assert "the server was" in str(claim.failure())
    entered.__exit__(None, None, None)
