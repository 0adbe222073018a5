"""The contract for snapshots, for authors of services: a data directory, a clean end, a password."""

import os
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from servicectx import Plan, managed
from servicectx.keeper import snapshot
from servicectx.services.plan import SnapshotSupport
from servicectx.testing import check_service
from tests.safe import Safe, SafeDetails

runs: list[str] = []


def fill(safe: SafeDetails) -> None:
    runs.append(safe.url)
    assert safe.ask("put", "word", "kept") == "done"


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SERVICECTX_CACHE", str(tmp_path / "cache"))
    runs.clear()
    return tmp_path / "cache" / "servicectx-cache"


def test_it_is_a_service_like_any_other() -> None:
    check_service(Safe, binary=False)


def test_the_data_directory_is_made_private_and_empty() -> None:
    with managed(Safe) as safe:
        assert stat.S_IMODE(os.stat(safe.directory).st_mode) == 0o700
        assert os.listdir(safe.directory) == []


@pytest.mark.parametrize("status", [0, 3, -15])
def test_it_is_kept_when_it_ends_as_the_plan_says(status: int, own_cache: Path) -> None:
    passwords = set()
    for _ in range(3):
        with managed(Safe, setup=fill, snapshot="one", status=status, clean=status) as safe:
            assert safe.ask("get", "word") == "kept"
            assert safe.ask("get", "settled") == "yes", "it was flushed before the signal"
            passwords.add(safe.password)
    assert len(runs) == 1
    assert len(passwords) == 3, "its own password each time, put in place of the one in the copy"


def test_any_other_end_is_not_kept(own_cache: Path) -> None:
    for _ in range(2):
        with managed(Safe, setup=fill, snapshot="one", status=1, clean=0) as safe:
            assert safe.ask("get", "word") == "kept", "the start continues"
    assert len(runs) == 2
    assert not (own_cache / "snapshots").exists()


@pytest.mark.parametrize(("frozen", "times"), [(None, 1), (True, 1), (False, 2)])
def test_what_could_not_be_frozen_is_not_kept(
    frozen: bool | None, times: int, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Safe, "freeze", lambda *_: frozen, raising=False)
    for _ in range(2):
        with managed(Safe, setup=fill, snapshot="one") as safe:
            assert safe.ask("get", "word") == "kept", "the start continues"
    assert len(runs) == times


def test_a_password_is_kept_where_only_the_user_gets(own_cache: Path) -> None:
    with managed(Safe, setup=fill, snapshot="one") as safe:
        password = safe.password
    (manifest,) = (own_cache / "snapshots").glob("*/.servicectx")
    assert password in manifest.read_text()
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o600
    assert stat.S_IMODE(manifest.parents[1].stat().st_mode) == 0o700


def test_what_does_not_settle_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "CLEAN_STOP", 0.1)
    support = SnapshotSupport(15, flush={"kind": "log", "pattern": "settled"})
    plan = Plan(service="safe", command=[], environment={}, ready={}, snapshot=support)
    server = SimpleNamespace(wait=lambda seconds: time.sleep(seconds))
    data = SimpleNamespace(snapshot=Path("one"))
    start: Any = SimpleNamespace(
        plan=plan, server=server, data=data, facts={"port": 1}, probe=lambda *_: None, ready={"pid": 1}
    )
    assert snapshot.take(start) == {"pid": 1}
    assert start.server is server
