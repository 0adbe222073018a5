"""The command line as a process, with its output, and a terminal where a test needs one."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "servicectx"]
COMMAND_TIMEOUT = 40.0  # seconds


def cli(*arguments: object, cwd: Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end, with an empty standard input."""
    environment = os.environ | options.pop("env", {})
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT,
        **options,
    )


def spawn(*arguments: object, cwd: Path, **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen([*COMMAND, *map(str, arguments)], cwd=cwd, stdin=subprocess.DEVNULL, text=True, **options)


class Terminal:
    """A process that leads a session on a terminal of its own."""

    def __init__(
        self, *arguments: object, cwd: Path, columns: int = 80, program: list[str] | None = None, **env: str
    ) -> None:
        self.text = ""
        self._ended: int | None = None
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd)
                command = [*(COMMAND if program is None else program), *map(str, arguments)]
                inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
                os.execvpe(command[0], command, inherited | {"TERM": "xterm-256color"} | env)
            finally:
                os._exit(99)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self._ended is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.close()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> None:
        """Close the terminal, as a closed window does."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def expect(self, pattern: str, seconds: float = COMMAND_TIMEOUT) -> "re.Match[str]":
        """Wait for a text, and drop the output up to its end."""
        until = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < until, f"no {pattern!r} in {self.text!r}"
            assert self._read(0.1) or found, f"the process ended without {pattern!r}: {self.text!r}"
        self.text = self.text[found.end() :]
        return found

    def end(self, seconds: float = COMMAND_TIMEOUT) -> int:
        """Read to the end; the exit status."""
        until = time.monotonic() + seconds
        while self._read(0.1):
            assert time.monotonic() < until, f"the process still writes: {self.text!r}"
        return self.wait(until - time.monotonic())

    def wait(self, seconds: float = COMMAND_TIMEOUT) -> int:
        until = time.monotonic() + seconds
        while self._ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._ended = os.waitstatus_to_exitcode(status)
            else:
                assert time.monotonic() < until, f"the process does not end: {self.text!r}"
                time.sleep(0.01)
        return self._ended

    def _read(self, seconds: float) -> bool:
        """Read output; False when no process writes any more."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            chunk = os.read(self._master, 65536)
        except OSError:  # EIO on Linux: the last writer is gone
            return False
        self.text += chunk.decode(errors="replace")
        return bool(chunk)
