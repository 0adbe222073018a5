"""The services that the tests of one process use."""

import contextlib
import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest

import servicectx
from servicectx_pytest._line import Line, RunIsOver
from servicectx_pytest._run import Record, Run
from servicectx_pytest._settings import Settings

# As it is now, and not by a name of its own: pyfakefs searches modules for that.
OS = SimpleNamespace(stat=os.stat)

TIMEOUT = 60.0  # seconds to wait for another worker's start, where the call does not say


class Used:
    """One service, by the call that asked for it: entered, or failed."""

    def __init__(self, call: tuple[Any, dict[str, Any]], managed: "servicectx.Managed[Any]") -> None:
        self.call = call
        self.managed = managed
        self.label = label(*call)
        self.error: servicectx.ServiceCtxError | None = None
        #: The fixtures that tests get it by.
        self.fixtures: set[str] = set()
        #: Whether the current test, or a fixture of its, has asked for it.
        self.asked = False
        #: Where the log's part that belongs to the current test begins.
        self.log_mark = 0

    def new_test(self) -> None:
        self.asked = False
        log = self.managed.log_path
        with contextlib.suppress(OSError):
            self.log_mark = OS.stat(log).st_size if log else 0


class Services:
    """Each is entered once and left at the end. A failure is raised again, unchanged, for everybody who asks."""

    def __init__(self, settings: Settings, run: Run, worker: str) -> None:
        self.used: list[Used] = []
        self._settings = settings
        self._run = run
        self._worker = worker
        self._line: Line | None = None
        self._line_pid = 0
        #: Whether the namespaces of tests that fail are left.
        self.keep_failed = settings.keep_failed

    def get(self, service: Any, arguments: dict[str, Any], fixture: str) -> Any:
        """The details of `managed(service, **arguments)`, with this run's settings where the arguments say nothing."""
        __tracebackhide__ = True
        call = (service, arguments)
        used = next((each for each in self.used if each.call == call), None)
        if used is None:
            used = Used(call, self.managed(service, arguments))
            try:
                self._enter(used)
            except BaseException:  # a time-out of the test's, say: the next test to ask begins again
                _leave(used.managed)
                raise
            self.used.append(used)
        used.fixtures.add(fixture)
        used.asked = True
        if used.error is not None:
            raise used.error.with_traceback(None)  # what it says is for people; where the library raised it is not
        return used.managed.details

    def managed(self, service: Any, arguments: dict[str, Any]) -> "servicectx.Managed[Any]":
        """`servicectx.managed` with this run's settings; for the caller to enter."""
        __tracebackhide__ = True
        try:
            return servicectx.managed(service, **self._settings.defaults() | arguments)
        except servicectx.ServiceCtxError as error:
            raise error.with_traceback(None) from None

    def note_fixture(self, details: Any, fixture: str) -> None:
        """These details also reach tests by another fixture."""
        for used in self.used:
            if used.managed.details is details:
                used.fixtures.add(fixture)
                used.asked = True

    def _enter(self, used: Used) -> None:
        partner, told, use, failure = self._partner(), None, None, None
        key = used.label
        try:
            key = used.managed.key or key
            told = partner.begin(key, float(used.call[1].get("timeout") or TIMEOUT))
            if told is not None:
                raise _rebuilt(told)
            used.managed.__enter__()
            used.new_test()
            use = self._report(used)
        except servicectx.ServiceCtxError as error:
            if isinstance(error.__cause__, pytest.exit.Exception):  # the set-up ends the run
                raise error.__cause__ from None
            used.error = error
            use, failure = self._report(used), {"error": type(error).__name__, "data": error.data}
        except RunIsOver:
            pytest.exit("servicectx: the first process of this run is gone", 2)
        finally:
            if told is None:
                self._tell(partner, used, key, use, failure)

    def _tell(self, partner: Run | Line, used: Used, key: str, use: Record | None, failure: Record | None) -> None:
        try:
            partner.end(key, use, failure, used.managed.ticket)
        except RunIsOver:
            used.managed.__exit__(None, None, None)

    def _report(self, used: Used) -> Record:
        managed = used.managed
        if used.error is not None:
            how = "failed"
        elif managed.external:
            how = "external"
        else:
            how = "joined" if managed.joined else "started"
        error = type(used.error).__name__ if used.error is not None else ""
        return {"label": used.label, "how": how, "took": managed.took, "by": self._worker, "error": error}

    def _partner(self) -> Run | Line:
        """The run itself, or a line to it; a forked child needs one of its own."""
        if not self._settings.address or (self._settings.address == self._run.address and self._run.is_here()):
            return self._run
        if self._line_pid != os.getpid():
            self._line_pid = os.getpid()
            try:
                self._line = Line(self._settings.address, self._abandon)
            except OSError:
                self._line = None  # another machine: each worker there holds its own leases, and they share as ever
        return self._line or self._run

    def _abandon(self) -> None:
        """The run is gone, and this process with its current test may last a while: leave all, side by side."""
        for used in self.used:
            threading.Thread(target=_leave, args=(used.managed,), daemon=True).start()

    def close(self) -> None:
        """Leave all, the last one first. No failure hides another."""
        if self._line is not None and self._line_pid == os.getpid():
            self._line.close()
        with contextlib.ExitStack() as stack:
            for used in self.used:
                stack.push(used.managed)


def label(service: Any, arguments: dict[str, Any]) -> str:
    """What people call it: `redis`, or `postgres 'orders'`."""
    kind = service if isinstance(service, str) else str(service.name)
    name = arguments.get("name")
    return kind if name in (None, kind) else f"{kind} {name!r}"


def _rebuilt(record: Record) -> "servicectx.ServiceCtxError":
    error = getattr(servicectx, record["error"])(**record["data"])
    assert isinstance(error, servicectx.ServiceCtxError)
    return error


def _leave(managed: "servicectx.Managed[Any]") -> None:
    with contextlib.suppress(Exception):
        managed.__exit__(None, None, None)
