"""The lock of a key without filelock, as keepers take it."""

import fcntl
import os
from pathlib import Path

import pytest

from servicectx.errors import HomeError
from servicectx.state.kernel_lock import KernelLock
from servicectx.state.key_lock import KeyLock


@pytest.fixture
def locks(tmp_path: Path) -> tuple[KeyLock, KeyLock]:
    """The same lock, as a caller and as a keeper take it."""
    path, state = tmp_path / "redis-0123456789ab.lock", tmp_path / "redis-0123456789ab.json"
    return KeyLock(path, state), KeyLock(path, state, KernelLock)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("second", [0, 1])
def test_two_processes_exclude_each_other(locks: tuple[KeyLock, KeyLock], first: int, second: int) -> None:
    with locks[first].locked() as locked:
        assert locked
        with locks[second].locked() as again:
            assert not again
        assert str(os.getpid()) in locks[second].holder()
    assert not locks[0].path.exists()
    with locks[second].locked() as locked:
        assert locked


def test_the_file_stays_beside_a_state_file(locks: tuple[KeyLock, KeyLock]) -> None:
    locks[1].state_file.touch()
    with locks[1].locked():
        pass
    assert locks[1].path.exists()


def test_the_file_of_another_lock_is_not_removed(tmp_path: Path) -> None:
    lock = KernelLock(tmp_path / "lock")
    assert lock.try_lock()
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").touch()
    lock.remove_file()
    assert (tmp_path / "lock").exists()
    lock.free()
    lock.free()
    assert not lock.is_locked


def test_a_removed_file_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The previous holder removes the file between `open` and `flock`."""
    original = os.open

    def opened(path: Path, *arguments: int) -> int:
        descriptor = original(path, *arguments)
        path.unlink()
        return descriptor

    lock = KernelLock(tmp_path / "lock")
    monkeypatch.setattr(os, "open", opened)
    assert not lock.try_lock()
    monkeypatch.undo()
    assert lock.try_lock()
    lock.free()


def test_a_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    lock, other = KernelLock(tmp_path / "lock"), KernelLock(tmp_path / "lock")
    assert lock.try_lock()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)  # until the parent closes the other end
        os._exit(0)
    os.close(reading)
    lock.free()
    assert other.try_lock()
    other.free()
    os.close(writing)
    assert os.waitpid(child, 0)[1] == 0


def test_a_directory_in_its_place_is_an_error(locks: tuple[KeyLock, KeyLock]) -> None:
    locks[1].path.mkdir()
    with pytest.raises(HomeError, match="no lock"), locks[1].locked():
        pass


def test_an_interrupted_release_frees_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = KernelLock(tmp_path / "lock")
    assert lock.try_lock()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lock.free()
    assert KernelLock(tmp_path / "lock").try_lock()
