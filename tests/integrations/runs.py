"""A run of a copy of a sample project, by a framework's own command, with its journal."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.detector import wait_for
from tests.leftovers import files, processes, wait_for_none

LIMIT = 90.0  # seconds for a run, many times its usual length
PLUGINS = ("servicectx_pytest", "xdist", "timeout")
GONE = 2.0  # seconds after its end until nothing may be left


class Run:
    """A run, started by the constructor. The command names a program of this Python's environment; {run} is unique."""

    def __init__(self, folder: Path, command: str, *, journal: Path | None = None, **environment: str) -> None:
        run = os.urandom(3).hex()
        program, *rest = command.format(run=run).split()
        self.journal = journal or folder / f"journal-{run}"
        self.journal.touch()
        self.output = ""
        self._semaphores: set[str] = set()
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name(program)), *rest],
            cwd=folder,
            env=os.environ | {"JOURNAL": str(self.journal), "PYTHONDONTWRITEBYTECODE": "1"} | plugins() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
            preexec_fn=_accept_ctrl_c,
        )

    def wait(self) -> "Run":
        """Wait for the end of the run."""
        try:
            self.output = self.output or self.process.communicate(timeout=LIMIT)[0]
        except subprocess.TimeoutExpired:
            self.signal_all(signal.SIGKILL)
            self.output, _ = self.process.communicate()
            raise AssertionError(f"the run hangs:\n{self.output}") from None
        return self

    def end(self, gone: float = GONE) -> "Run":
        """Wait for the end of the run; nothing is left `gone` seconds later."""
        self.wait()
        left = wait_for_none(Path(os.environ["SERVICECTX_HOME"]), gone)
        for path in self._semaphores:
            Path(path).unlink(missing_ok=True)
        assert not left, f"left behind: {left}\n{self.output}"
        return self

    def passes(self, gone: float = GONE) -> "Run":
        self.end(gone)
        assert self.process.returncode == 0, self.output
        for problem in ("ResourceWarning", "Exception ignored", "Traceback"):
            assert problem not in self.output, self.output
        return self

    def signal(self, number: int) -> None:
        self._note_semaphores()
        self.process.send_signal(number)

    def signal_all(self, number: int) -> None:
        """Signal the whole group, as a terminal does."""
        self._note_semaphores()
        os.killpg(self.process.pid, number)

    def _note_semaphores(self) -> None:
        """Record the semaphores of multiprocessing: the process that removes them may be killed with the run."""
        for pid in psutil.pids():
            with contextlib.suppress(OSError):
                if os.getpgid(pid) == self.process.pid:
                    maps = Path(f"/proc/{pid}/maps").read_text().split()
                    self._semaphores.update(word for word in maps if word.startswith("/dev/shm/sem.mp-"))

    def notes(self, what: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.journal.read_text().splitlines()]
        return [line for line in lines if line["what"] == what]

    def wait_for_note(self, what: str, count: int = 1) -> list[dict[str, Any]]:
        wait_for(lambda: len(self.notes(what)) >= count or self.process.poll() is not None, LIMIT)
        notes = self.notes(what)
        if len(notes) < count:
            raise AssertionError(f"the run ended before {what!r}:\n{self.end().output}")
        return notes


def plugins(*more: str) -> dict[str, str]:
    """Variables of a nested pytest that loads few of the installed plugins: all take three times as long as pytest."""
    options = " ".join(f"-p {name}" for name in (*PLUGINS, *more))
    return {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": options}


#: Variables of a nested pytest that finds its plugins by itself, but for some that only slow it down.
FINDS_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "", "PYTEST_ADDOPTS": "-p no:fakefs -p no:valkey -p no:django"}


def services_left(project: Path) -> list[str]:
    """Processes and files of services, without processes of the run itself, which work in the project."""
    home = Path(os.environ["SERVICECTX_HOME"])
    left = files(home)
    for process in processes(home):
        with contextlib.suppress(psutil.Error):
            if process.cwd() != str(project):
                left.append(" ".join(process.cmdline()))
    return left


def _accept_ctrl_c() -> None:
    """Handle SIGINT again: background jobs of a shell ignore it, and their children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def copy(project: Path, to: Path) -> Path:
    """Copy a sample project, with a journal. Another directory is another project, so runs do not share services."""
    shutil.copytree(project, to, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "output"))
    shutil.copy(Path(__file__).with_name("journal.py"), to)
    return to


def instances(notes: list[dict[str, Any]], service: str) -> set[str]:
    """The servers in these notes, identified by the start time or run id that each server reports."""
    return {note["instance"] for note in notes if note["service"] == service}
