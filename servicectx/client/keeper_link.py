"""The link to a keeper: spawn the keeper, send it commands, read its reports."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servicectx.errors import BinaryNotFound, HomeError, StartFailed, from_record
from servicectx.keeper import process_marks, search_path
from servicectx.services import plan
from servicectx.state.instance import Instance
from servicectx.system import faults, interpreter, polling, reading
from servicectx.system import processes as pids
from servicectx.system.descriptors import Descriptor
from servicectx.system.originals import json, time

GRACE = 3.0  # seconds after a deadline for a keeper to read a command or to write a report

# Signals whose effect is reset: a caller under nohup or in the background of a shell ignores some of them, and a keeper
# and its server must not.
USUAL_EFFECT = tuple(
    getattr(signal, f"SIG{name}") for name in ("INT", "QUIT", "TERM", "HUP", "CHLD", "PIPE", "ALRM", "USR1", "USR2")
)

# The marks by which mirakuru and `servicectx run` find the processes that they started: a keeper is not one of them.
NOT_THE_KEEPERS = ("mirakuru_uuid", "SERVICECTX_RUN")

_BOOTSTRAP = f"{search_path.BEGIN} from servicectx.keeper.watchdog import main as keeper; keeper(*sys.argv[2:])"


class KeeperLost(Exception):
    """The keeper was killed before it reported. That is not a failure of the service: start again."""

    def __init__(self, log_tail: str = "") -> None:
        super().__init__(log_tail)
        self.log_tail = log_tail  # of keeper.log


class KeeperSilent(Exception):
    """The keeper lives but did not report, seconds after its deadline."""


class PipesLost(Exception):
    """Code in this process closed the pipes to the keeper."""


class WaitCancelled(Exception):
    """The caller cancelled the wait for a report."""


class KeeperLink:
    """A keeper that was just spawned. It waits for `send_command()`."""

    def __init__(self, instance: Instance, id: str) -> None:
        """Raises HomeError where there is no room for its log, or no descriptor or process left."""
        self._log = instance.directory(id) / "keeper.log"
        self._service = self._name = ""
        self._orders: Descriptor | None = None
        self._reports: Descriptor | None = None
        self._pid = -1
        pids.reap_keepers()
        try:
            self._spawn(instance, id)
        except OSError as error:
            self.close()
            problem = "no keeper was started"
            raise faults.home_error(error, problem, str(self._log)) or HomeError(
                path=str(error.filename or self._log), problem=f"{problem}: {error.strerror}", cure="see the reason"
            ) from None

    def _spawn(self, instance: Instance, id: str) -> None:
        # No -m and no site: a keeper must not pay for the caller's environment, nor run its start-up hooks.
        search = search_path.argument()
        python = _interpreter()
        command = [python, "-I", "-S", "-c", _BOOTSTRAP, search, str(instance.home), instance.key, id]
        environment = {name: value for name, value in os.environ.items() if name not in NOT_THE_KEEPERS}
        environment |= process_marks.environment(instance.directory(id))  # of this one, also below a server of another
        with contextlib.ExitStack() as ours:
            # Opened here: posix_spawn reports a failure to open as one of the program.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            log = ours.enter_context(contextlib.closing(Descriptor(os.open(self._log, flags, 0o600))))
            orders, self._orders = _pipe()
            ours.callback(orders.close)
            self._reports, reports = _pipe()
            ours.callback(reports.close)
            self._pid = os.posix_spawn(
                python,
                command,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, orders.number, 0),
                    (os.POSIX_SPAWN_DUP2, reports.number, 1),
                    (os.POSIX_SPAWN_DUP2, log.number, 2),
                ],
                setsigmask=[],
                setsigdef=USUAL_EFFECT,
            )
        os.set_blocking(self._orders.number, False)

    def send_command(self, start: plan.Plan, **fields: Any) -> None:
        """Send the start command: the plan, name, data_directory, timeout and what is left of it (seconds), snapshot
        (its name in the cache, or None), cache."""
        self._service, self._name = start.service, str(fields.get("name") or "")
        self._send({"plan": plan.encode(start), **fields}, float(fields.get("left") or 0.0))

    def request_snapshot(self) -> None:
        """Report that the set-up is complete. The keeper stores a copy of the data and reports once more."""
        self._send({"snapshot": True}, GRACE)

    def _send(self, command: dict[str, Any], seconds: float) -> None:
        """Write a command, for at most `seconds` and GRACE: a keeper that was stopped does not empty the pipe."""
        text = json.dumps(command).encode() + b"\n"
        assert self._orders is not None
        if not self._orders.is_ours:
            raise PipesLost
        deadline = time.monotonic() + seconds + GRACE
        try:
            while text:
                try:
                    text = text[os.write(self._orders.number, text) :]
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise KeeperSilent from None
                    polling.is_writable(self._orders.number, 0.1)
        except BrokenPipeError:
            pass  # the keeper is dead: `wait_for_report` raises

    def wait_for_report(self, deadline: float, is_cancelled: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Wait for the start report: the facts of a usable service.

        Raises the error that the keeper reported; KeeperLost when the keeper ended without a report; KeeperSilent GRACE
        seconds after `deadline` (a monotonic time); WaitCancelled.
        """
        raw = b""
        while not raw.endswith(b"\n"):
            if is_cancelled():
                raise WaitCancelled
            if time.monotonic() > deadline + GRACE:
                raise KeeperSilent
            assert self._reports is not None
            if not self._reports.is_ours:
                raise PipesLost
            if polling.is_readable(self._reports.number, 0.1):
                chunk = os.read(self._reports.number, 65536)
                if not chunk:
                    raise self._lost()
                raw += chunk
        report = json.loads(raw)
        if "failed" in report:
            raise from_record(report["failed"])
        facts: dict[str, Any] = report["ready"]
        return facts

    def _lost(self) -> KeeperLost | StartFailed:
        """The reason for the missing report. A keeper that crashed would crash again, one that was killed would not."""
        log = log_tail(self._log)
        if not self._reap() and "Traceback (most recent call last)" not in log:
            return KeeperLost(log)
        cause = log.splitlines()[-1] if log else "it recorded no reason"
        reason = f"its keeper crashed: {cause}"
        return StartFailed(service=self._service, name=self._name, reason=reason, log_tail=log)

    def _reap(self) -> bool:
        """Whether the spawned process ended with an error. It ends when it has forked watchdog and keeper."""
        if self._pid > 0:
            pid, self._pid = self._pid, -1
            with contextlib.suppress(ChildProcessError):
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) > 0
        return False

    def close(self) -> None:
        for descriptor in (self._orders, self._reports):
            if descriptor is not None:
                descriptor.close()
        self._reap()


def log_tail(log: Path) -> str:
    """The last lines of keeper.log."""
    try:
        return "\n".join(reading.tail(log, 16384).decode(errors="replace").splitlines()[-30:])
    except OSError:
        return ""


def _interpreter() -> str:
    """The Python that runs keepers. Raises BinaryNotFound."""
    try:
        return interpreter.path()
    except interpreter.NoInterpreter as error:
        problem = f"no Python runs its keeper: sys.executable is {sys.executable!r}; set it to a Python interpreter"
        raise BinaryNotFound(
            service="servicectx", binary="python", looked=error.looked, install={}, problem=problem
        ) from None


def _pipe() -> tuple[Descriptor, Descriptor]:
    """The reading and the writing end, above the standard descriptors, which this process may have closed."""
    reading, writing = os.pipe()
    try:
        return Descriptor(reading), Descriptor(writing)
    except BaseException:
        os.close(writing)
        raise
