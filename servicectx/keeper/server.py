"""One server process: started through mirakuru, watched and ended by its keeper."""

import contextlib
import importlib
import importlib.util
import os
import pwd
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx.system import linux, platform, processes, reading
from servicectx.system.processes import Process

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

if TYPE_CHECKING:
    from mirakuru import SimpleExecutor
else:

    def _executor_alone(substitutes: dict[str, Any]) -> Any:
        """mirakuru's SimpleExecutor without the rest of the package, which imports an HTTP client, TLS and psutil.

        A keeper uses none of these, and leaving them out halves the time until the server is started.
        Without psutil, mirakuru searches left processes with ps; the executor below never searches.
        """
        package = types.ModuleType("mirakuru")
        spec = importlib.util.find_spec("mirakuru")
        package.__path__ = list(spec.submodule_search_locations)
        substitutes = {"mirakuru": package, "psutil": None, **substitutes}
        before = {name: sys.modules.pop(name) for name in substitutes if name in sys.modules}
        sys.modules.update(substitutes)
        try:
            return importlib.import_module("mirakuru.base").SimpleExecutor
        finally:
            for name in substitutes:
                del sys.modules[name]
            sys.modules.update(before)

    def _light() -> dict[str, Any]:
        """Substitutes for modules that mirakuru uses little: 11 modules less, an eighth of a keeper's import time.

        It logs, and its uuid is for the marker that `_Executor` leaves out.
        """
        levels = dict.fromkeys(("debug", "info", "warning", "error", "exception"), lambda *_, **__: None)
        return {
            "logging": types.SimpleNamespace(getLogger=lambda _: types.SimpleNamespace(**levels)),
            "platform": types.SimpleNamespace(system=lambda: os.uname().sysname),
            "uuid": types.SimpleNamespace(uuid4=lambda: os.urandom(16).hex()),
        }

    try:
        SimpleExecutor = _executor_alone(_light())
    except (AttributeError, ImportError):  # another version of mirakuru uses more of these modules
        for name in [name for name in sys.modules if name.startswith("mirakuru.")]:
            del sys.modules[name]
        SimpleExecutor = _executor_alone({})


class _Executor(SimpleExecutor):
    """mirakuru's executor, without the marker by which mirakuru's exit hook finds processes to kill.

    That hook runs in every process that imported mirakuru. It compares process ids as substrings
    (3.1.0: `env_value in ...`), so a shared server must not carry the marker. The server ends with its keeper.
    """

    parting_signal = signal.SIGKILL

    def _kill_all_kids(self, sig: int) -> set[int]:
        """Find no process: none carries the marker, so reading every process's environment is useless."""
        return set()

    @property
    def envvars(self) -> dict[str, str]:
        return dict(self._envvars)

    @property
    def _popen_kwargs(self) -> dict[str, Any]:
        keeper = os.getpid()

        def prepare() -> None:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):  # the keeper ignores them, servers must not
                signal.signal(number, signal.SIG_DFL)
            linux.die_with(keeper, self.parting_signal)

        return {**super()._popen_kwargs, "preexec_fn": prepare}


class Server:
    """A started program with its own session, log file and account. It ends by `end`, or with its keeper."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        log: Path,
        directory: str,
        account: str | None = None,
        stop_signal: int = signal.SIGKILL,
        inherited: socket.socket | None = None,
        locks: tuple[int, ...] = (),
    ) -> None:
        self.command = command
        self._stop_signal = stop_signal
        switch: dict[str, Any] = {}
        if account:
            entry = pwd.getpwnam(account)
            switch = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        if inherited or locks:  # the lock on the data then lasts as long as the server, even when the keeper is killed
            switch["pass_fds"] = (*locks, *([inherited.fileno()] if inherited else []))
        with open(os.open(log, _APPEND, 0o600), "ab") as output:
            self._executor = _Executor(
                command,
                cwd=directory,
                envvars=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                popen_kwargs=switch,
            )
            self._executor.parting_signal = signal.Signals(stop_signal)
            self._executor.start()
        process = self._executor.process
        assert process is not None
        self._process: subprocess.Popen[str] = process
        self._descriptor = platform.pidfd_open(process.pid)
        self.identity: Process | None = processes.identity(process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status; None while the server runs; negative: the signal that ended it."""
        return self._process.poll()

    def descriptor(self) -> int | None:
        """A descriptor that becomes readable when the process ends (Linux), or None."""
        return self._descriptor

    def wait(self, seconds: float) -> bool:
        """Whether the server ended within `seconds`."""
        if self._descriptor is None:
            deadline = time.monotonic() + seconds
            while self.exit_status is None and time.monotonic() < deadline:
                time.sleep(0.005)
        elif self.exit_status is None:
            poller = select.poll()
            poller.register(self._descriptor, select.POLLIN)
            poller.poll(max(0.0, seconds) * 1000)
        return self.exit_status is not None

    def end(self, grace: float, number: int | None = None) -> None:
        """Send `number` (default: the stop signal), after `grace` seconds SIGKILL, then end its remaining children."""
        if self.exit_status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number or self._stop_signal)
                os.kill(self.pid, signal.SIGCONT)  # a stopped process handles no signal except SIGKILL
            self.wait(grace)
        # Listed now, while they have a parent: Postgres workers overwrite the mark in their environment.
        stuck = [] if platform.SUBREAPER or self.exit_status is not None else processes.family(self.identity)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        linux.end_orphans()
        for process in stuck:
            processes.send(process, signal.SIGKILL)
        for process in stuck:
            processes.wait_gone(process, 2.0)
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def status_text(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "it is gone"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}"


def tail(log: Path, lines: int = 30, size: int = 65536) -> str:
    """The last lines of a log file: enough for servers that print their usage after the error."""
    try:
        text = reading.tail(log, size).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def shown(command: list[str]) -> str:
    return shlex.join(command)
