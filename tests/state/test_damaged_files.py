"""Damaged or replaced files of an instance: users enter and leave, and all files are removed."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from servicectx import HomeError, KeptDataError, ServiceCtxError, managed
from servicectx.cli.app import app
from servicectx.isolation.pool import Pool
from servicectx.state import container, keep_record, leases, marked, persistent
from servicectx.state.instance import Instance
from servicectx.state.record import READY, State, StateError, decode, decode_processes, encode
from servicectx.state.restart_requests import Pending, RestartRequests
from servicectx.system import processes, reading
from servicectx.testing import FakeService

FILES = (
    *("state.json", "processes.json", "keeper.lock", "watchdog.lock", "handouts", "leftovers", "linger-x", "keep"),
    *("cleanup.json", "kept.json"),
)
DEEP = "[" * 100_000


def garbage(path: Path) -> None:
    path.write_bytes(b"\x00\xff\xfe\x80 \n\xed\xa0\x80\n")


def nested(path: Path) -> None:
    path.write_text(DEEP)


def directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    (path / "in it").mkdir(parents=True)


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def gigabyte(path: Path) -> None:
    with path.open("r+b" if path.exists() else "wb") as file:
        file.truncate(1 << 30)


def link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


DAMAGES = [garbage, nested, directory, fifo, gigabyte, link]


@pytest.mark.parametrize("damage", DAMAGES)
def test_users_enter_and_leave_and_all_is_cleared(damage: Callable[[Path], None], home: Path) -> None:
    """Every file of the instance, except its lock, is damaged in turn while the instance is used."""
    for name in FILES:
        with managed(FakeService) as first:
            (instance,) = home.glob("servicectx-home/*.*/")
            damage(instance / name)
            damage(instance / "leases" / "not-a-lease")
            with managed(FakeService) as second:
                assert second.ask("SET a 1") == "1"
            assert first.ask("GET a") in ("", "1")
        assert left(home) == [], name


@pytest.mark.parametrize("damage", DAMAGES)
def test_logs_and_records_that_are_something_else(damage: Callable[[Path], None], home: Path) -> None:
    """Logs are read in part, and without a wait for a writer. The data go, although no record names their owner."""
    service = managed(FakeService)
    with service as first:
        (instance,) = home.glob("servicectx-home/*.*/")
        (record,) = home.glob("servicectx-home/data/*/record.json")
        for path in (*(instance / name for name in ("up", "service.log", "keeper.log", "directories")), record):
            damage(path)
        if damage in (garbage, nested, gigabyte):
            assert len(service.logs()) <= 1 << 26
        else:
            with pytest.raises(HomeError, match=r"service\.log: "):
                service.logs()
            refused = CliRunner().invoke(app, ["logs", "-n", "1"], standalone_mode=False).exception
            assert "service.log cannot be read" in getattr(refused, "message", "")
            with pytest.raises(ServiceCtxError):  # the server's output has no place
                service.restart(empty=True)
        with managed(FakeService) as second:
            assert second.ask("SET a 1") == "1"
        del first
    assert left(home) == []


@pytest.mark.parametrize("damage", [garbage, directory, fifo, link])
def test_files_of_a_pool_that_are_something_else(damage: Callable[[Path], None], tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    pool.taken.mkdir(parents=True)
    damage(pool.taken / f"{'a' * 8}-1")
    assert all(len(taken.source) == 0 for taken in pool.returned())
    (tmp_path / "kept").mkdir()
    damage(tmp_path / "kept" / "kept.json")
    assert not keep_record.is_locked(tmp_path / "kept")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_state_file_that_is_something_else(damage: Callable[[Path], None], home: Path) -> None:
    with managed(FakeService) as first:
        (state,) = home.glob("servicectx-home/*.json")
        damage(state)
        with managed(FakeService) as second:
            assert second.port == first.port, "the instance's own copy is read"
        damage(state)
    assert left(home) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_remains_that_are_something_else(damage: Callable[[Path], None], home: Path) -> None:
    """No process of that key lives: the next start removes the entries with our names."""
    with managed(FakeService) as _:
        (state,) = home.glob("servicectx-home/*.json")
    (own := state.with_suffix(".01234567")).mkdir()
    for path in (state, state.with_suffix(".json.tmp"), own / "state.json", own / "leases"):
        damage(path)
    with managed(FakeService) as fake:
        assert fake.ask("SET a 1") == "1"
    assert left(home) == []


def left(home: Path) -> list[str]:
    own = home / "servicectx-home"
    return sorted(path.name for path in own.iterdir() if path.name not in ("SERVICECTX.TAG", "data"))


def test_damaged_requests_for_a_restart_do_not_end_the_server(home: Path) -> None:
    """Their requesters hold them, so they count. A complete record with other fields is answered."""
    texts = ["", "{", "[]", DEEP, "{}", '{"kill": true}', '{"kill": 1, "empty": [], "timeout": "x"}']
    service = managed(FakeService)
    with service as fake, contextlib.ExitStack() as held:
        (instance,) = home.glob("servicectx-home/*.*/")
        requests = RestartRequests(instance)
        submitted = [held.enter_context(requests.submit({})) for _ in texts]
        for request, text in zip(submitted, texts, strict=True):
            request._path.write_text(text)
        service.restart(empty=True)
        assert fake.ask("SET a 1") == "1"
        answers = [request.answer() for request in submitted]
        assert [answer is not None for answer in answers] == [False, False, False, False, True, True, True]
        assert all("another version of servicectx" in str(answer["failed"]) for answer in answers if answer)
        assert service.alive


def test_damaged_leases_and_locks_are_listed_by_the_cli(home: Path) -> None:
    texts = [DEEP, "{}", "[]", '{"pid": [], "command": 5, "since": "x"}', '{"since": NaN}', '{"since": 1e999}']
    with managed(FakeService, linger=60) as _, contextlib.ExitStack() as held:
        (instance,) = home.glob("servicectx-home/*.*/")
        for number, text in enumerate(texts):
            lease = instance / "leases" / f"7-{number:08x}"
            held.callback(os.close, leases.open_locked(lease))
            lease.write_text(text)
        found = CliRunner().invoke(app, ["status", "--json"])
        pids = [user["pid"] for user in json.loads(found.stdout)[0]["holders"]]
        assert sorted(pids) == [*[7] * len(texts), os.getpid()]
        assert CliRunner().invoke(app, ["status"]).exit_code == 0
        refused = CliRunner().invoke(app, ["down"], standalone_mode=False)
        assert "\n  7 an unknown program" in str(refused.exception)
        lock = instance.with_suffix(".lock")
        for text in texts:
            lock.write_text(text)
            assert Instance(instance.parent, instance.stem).holder() == "the lock file does not name its holder"
    assert CliRunner().invoke(app, ["down"], standalone_mode=False).exception is None


@pytest.mark.parametrize("text", ["{}", "[]", DEEP])
def test_a_damaged_record_of_kept_data_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text(text)
    with pytest.raises(KeptDataError, match="not a record that this version can read"):
        keep_record.read(tmp_path)
    (tmp_path / "persistent.json").write_text(text)
    with pytest.raises(KeptDataError, match="it cannot be read"):
        persistent.read(tmp_path)
    refused = CliRunner().invoke(app, ["open", str(tmp_path)], standalone_mode=False)
    assert isinstance(refused.exception, ServiceCtxError)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_of_data_that_is_something_else(damage: Callable[[Path], None], tmp_path: Path) -> None:
    damage(tmp_path / "record.json")
    assert container.read(tmp_path) is None
    container.keep(tmp_path)


def test_a_lock_that_is_a_directory_is_named(home: Path) -> None:
    with managed(FakeService):
        (state,) = home.glob("servicectx-home/*.json")
    lock = state.with_suffix(".lock")
    lock.mkdir()
    with pytest.raises(HomeError, match=r"no lock: Is a directory\nremove it"), managed(FakeService):
        pass
    shutil.rmtree(lock)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "5", '"x"', DEEP, '{"version": 1}', "{}", "\udcff"])
def test_no_text_breaks_a_decoder(text: str) -> None:
    with pytest.raises(StateError):
        decode(text)
    assert decode_processes(text) is None


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "1" + "0" * 400, str(2**63)])
def test_numbers_are_bounded(number: str, tmp_path: Path) -> None:
    found = f'{{"keeper": [{number}, "1"], "watchdog": null, "server": null, "origin": null}}'
    assert decode_processes(found) is None or number.isdigit()
    state = json.loads(encode(State("01234567", READY, "redis", "redis", 0.0, processes.me())))
    text = json.dumps(state | {"since": "SINCE"}).replace('"SINCE"', number)
    with pytest.raises(StateError, match="a field has an invalid value"):
        decode(text)
    record = json.loads(f'{{"kill": true, "empty": false, "timeout": {number}}}')
    assert Pending("1", record).is_valid() == (number == "1e999")  # a user may wait for ever


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert reading.read(tmp_path / "file", 100) == b"x" * 100
    with pytest.raises(reading.Unreadable, match="no more than 99"):
        reading.read(tmp_path / "file", 99)
    assert reading.read(tmp_path / "none") is None
    assert reading.read(tmp_path / "file" / "below") is None


def test_no_holder_is_known_of_a_damaged_lock(tmp_path: Path) -> None:
    instance = Instance(tmp_path, "redis-0123456789ab")
    garbage(tmp_path / "redis-0123456789ab.lock")
    assert instance.holder()


def test_a_keeper_leaves_the_temporary_file_of_the_lock_s_holder(tmp_path: Path) -> None:
    instance = Instance(marked.make(tmp_path / "home", marked.HOME), "redis-0123456789ab")
    instance.create("01234567")
    instance.write(State("01234567", READY, "redis", "redis", 0.0, processes.me()))
    temporary = instance.home / "redis-0123456789ab.json.tmp"
    temporary.write_text("half of a sta")
    instance.forget_unlocked("01234567")
    assert instance.look() is None
    assert temporary.exists()
    instance.forget()
    assert not temporary.exists()
