"""The line about a long start: on a terminal, after a second; never in a pipe, and never beside another display."""

import os
import sys
import threading
from pathlib import Path
from typing import TextIO

import pytest

from servicectx import managed
from servicectx.system import progress
from servicectx.system.progress import Progress

SERVER = "read line < {fifo}; exec {python} -m http.server --bind {{host}} {{port}}"  # it listens after a line


def lines(terminal: int) -> list[str]:
    """What is left in a terminal whose other end is closed."""
    output = b""
    try:
        while read := os.read(terminal, 65536):
            output += read
    except OSError:  # the end of a terminal, on Linux
        pass
    return output.decode().splitlines()


def long_start(terminal: int, slave: TextIO, folder: Path) -> str:
    """Start a server that listens only after a line about its start was read from the terminal. Return this line."""
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    read: list[str] = []

    def answer() -> None:
        read.append(os.read(terminal, 65536).decode())
        fifo.write_text("listen\n")

    reader = threading.Thread(target=answer, daemon=True)
    reader.start()
    command = ["sh", "-c", SERVER.format(fifo=fifo, python=sys.executable)]
    with managed("command", name="slow", command=command, scope="private"):
        reader.join()
    slave.close()
    return read[0]


def test_a_long_start_is_reported_on_a_terminal_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    terminal, pipe = os.fdopen(slave, "w"), (tmp_path / "pipe").open("w")
    monkeypatch.setattr(sys, "stderr", pipe)
    with Progress("an action in a pipe"):
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(progress, "silent", True)
        with Progress("an action beside another display"):
            monkeypatch.setattr(progress, "silent", False)
            first = long_start(master, terminal, tmp_path)
            monkeypatch.setattr(sys, "stderr", pipe)
    assert first.splitlines() == ["servicectx: starting slow ..."]
    (last,) = lines(master)
    assert last.startswith("servicectx: starting slow took ")
    assert float(last.split()[-2]) >= progress.DISPLAY_DELAY
    os.close(master)
    pipe.close()
    assert not (tmp_path / "pipe").read_text()
