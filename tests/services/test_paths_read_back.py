"""Paths that are written into a text and parsed again, with any characters."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from servicectx.request import config
from servicectx.services.rabbitmq import service as rabbitmq
from servicectx.state import owned_files

ROOT = Path(__file__).parents[2]
NAMES = [
    "".join(map(chr, range(32, 127))).replace("/", ""),
    "a\nb\u2028c\x85d",
    " blank ",
    os.fsdecode(b"caf\xe9"),
    "ö",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_handed_out_is_removed(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text("details")
    owned_files.note(tmp_path, file, "details")
    assert owned_files.noted(tmp_path) == [file]
    owned_files.remove_owned(tmp_path)
    assert not file.exists()


def test_patterns_of_what_is_left_hold_line_breaks(tmp_path: Path) -> None:
    odd = tmp_path / "a\nb"
    odd.mkdir()
    (odd / "left-1").touch()
    (tmp_path / "b").touch()
    owned_files.leave(tmp_path, [f"{odd}/left-*"])
    assert owned_files.left(tmp_path) == [odd / "left-1"]


def test_half_a_line_of_a_killed_process_is_passed_over(tmp_path: Path) -> None:
    owned_files.leave(tmp_path, [f"{tmp_path}/x*"])
    with (tmp_path / owned_files.PATTERNS).open("a") as listing:
        listing.write('"/half')
    (tmp_path / "x1").touch()
    assert owned_files.left(tmp_path) == [tmp_path / "x1"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has mount namespaces")
@pytest.mark.parametrize("name", ["a b\tc\nd\\e#f", "ö\\040"])
def test_a_file_system_in_memory_is_known_below_any_name(name: str, tmp_path: Path) -> None:
    """Mounts in a separate mount namespace, on a directory of another file system."""
    script = (
        "import subprocess, sys; from pathlib import Path; from servicectx.state import storage\n"
        "place = Path(sys.argv[1]); place.mkdir()\n"
        "subprocess.run(['mount', '-t', 'proc', 'proc', place], check=True)\n"
        "before = storage.is_memory(place)\n"
        "subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', place], check=True)\n"
        "print(before, storage.is_memory(place), storage.is_memory(place / 'below'))\n"
    )
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        assert "SERVICECTX_REQUIRE_SERVERS" not in os.environ
        pytest.skip("mounting needs root and unshare")
    command = [unshare, "--mount", sys.executable, "-c", script, str(tmp_path / name)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.stdout == "False True True\n", done.stderr


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("a.sql, b.sql", ["a.sql", "b.sql"]),
        ("a.sql b.sql", ["a.sql", "b.sql"]),
        ("'my, tables.sql', \"b c.sql\"", ["my, tables.sql", "b c.sql"]),
        ("#1.sql", ["#1.sql"]),
    ],
)
def test_files_of_a_set_up_in_setup_cfg(text: str, files: list[str]) -> None:
    assert config.from_text({"setup": text}) == {"setup": files}


def test_a_version_is_not_read_from_a_directory_above() -> None:
    service = rabbitmq.Rabbitmq()
    assert service.version("/opt/rabbitmq_server-3.10.8/sbin/rabbitmq-server") == "3.10.8"
    assert service.version("/home/me/rabbitmq_server-9.9/mine/sbin/rabbitmq-server") is None
