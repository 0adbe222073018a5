"""Owners in names of namespaces: processes of different machines are distinct, even with equal host names."""

import re
import subprocess
import sys

import pytest

from servicectx.isolation import owner_names
from servicectx.system import originals

LONG = "ip-10-0-0-1.eu-central-1.compute.internal.of.some.company.example"


def dead_pid() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_name_fits_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(originals.socket, "gethostname", lambda: LONG)
    monkeypatch.setattr("os.getpid", lambda: 2**31 - 1)
    assert re.fullmatch(r"sc_[a-z0-9]+_2147483647_[0-9a-f]{18}", owner_names.new_name())
    assert len(owner_names.new_name()) <= 63


def test_the_dead_of_this_machine_are_known() -> None:
    assert owner_names.owner_is_alive(owner_names.new_name())
    assert owner_names.owner_is_dead(f"sc_{owner_names.host()}_{dead_pid()}_{'0' * 18}")


def test_a_machine_of_the_same_name_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines in their first namespace of process ids, with the same number on each Linux."""
    monkeypatch.setattr(owner_names, "_machine", lambda: "one of two clones")
    elsewhere = f"sc_{owner_names.host()}_{dead_pid()}_{'0' * 18}"
    assert owner_names.owner_is_dead(elsewhere)
    monkeypatch.undo()
    assert not owner_names.owner_is_dead(elsewhere)
    assert not owner_names.owner_is_alive(elsewhere)


def test_all_letters_of_a_name_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(originals.socket, "gethostname", lambda: LONG)
    one = owner_names.host()
    monkeypatch.setattr(originals.socket, "gethostname", lambda: f"{LONG}-2")
    assert owner_names.host() != one


def test_it_is_the_same_in_each_process() -> None:
    script = "from servicectx.isolation import owner_names; print(owner_names.host())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == owner_names.host()
