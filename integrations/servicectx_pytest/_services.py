"""The services that the tests of one process use."""

import contextlib
import os
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import servicectx
from servicectx_pytest._coordinator import Coordinator, Record
from servicectx_pytest._coordinator_client import CoordinatorClient, RunIsOver
from servicectx_pytest._settings import Settings

# A copy, since tests replace functions of os. Not a plain name: pyfakefs searches modules for these.
OS = SimpleNamespace(stat=os.stat)

TIMEOUT = 60.0  # seconds to wait for another worker's start, if the call has no timeout


class Used:
    """One service, by the call that requested it: entered, or failed."""

    def __init__(self, call: tuple[Any, dict[str, Any]], managed: "servicectx.Managed[Any]") -> None:
        self.call = call
        self.managed = managed
        self.label = label(*call)
        self.error: servicectx.ServiceCtxError | None = None
        #: Whether it stays entered until the end of the run, for every fixture of an equal call.
        self.stays = True
        #: Names of the fixtures that give it to tests.
        self.fixtures: set[str] = set()
        #: Whether the current test or one of its fixtures has requested it.
        self.requested = False
        #: Offset in the log where the part of the current test begins.
        self.log_mark = 0

    def new_test(self) -> None:
        self.requested = False
        log = self.managed.log_path
        with contextlib.suppress(OSError):
            self.log_mark = OS.stat(log).st_size if log else 0


class Services:
    """Services of this process. Each one is entered once and left at the end; a failure is raised again at each use."""

    def __init__(self, settings: Settings, coordinator: Coordinator, worker: str) -> None:
        self.used: list[Used] = []
        self._settings = settings
        self._coordinator = coordinator
        self._worker = worker
        self._client: CoordinatorClient | None = None
        self._client_pid = 0
        #: Whether namespaces of failed tests stay.
        self.keep_failed = settings.keep_failed

    def get(self, service: Any, arguments: dict[str, Any], fixture: str) -> Any:
        """Details of `managed(service, **arguments)`. The settings of the run are defaults of the arguments."""
        __tracebackhide__ = True
        call = (service, arguments)
        used = next((known for known in self.used if known.stays and known.call == call), None)
        if used is None:
            used = Used(call, self.managed(service, arguments))
            try:
                self._enter(used)
            except BaseException:  # such as a time-out of the test: the next test begins the start again
                _leave(used.managed)
                raise
            self.used.append(used)
        used.fixtures.add(fixture)
        used.requested = True
        if used.error is not None:
            raise used.error.with_traceback(None)  # the message is for people, the library's traceback is not
        return used.managed.details

    @contextlib.contextmanager
    def temporary(self, service: Any, arguments: dict[str, Any], fixture: str) -> Iterator[Any]:
        """Details of a service for the block. A service without other users stops at the end of the block."""
        __tracebackhide__ = True
        used = Used((service, arguments), self.managed(service, arguments))
        used.stays = False
        used.fixtures.add(fixture)
        self.used.append(used)
        try:
            try:
                details = used.managed.__enter__()
            except servicectx.ServiceCtxError as error:
                used.error = error
                raise error.with_traceback(None) from error.__cause__
            finally:
                self._report_temporary(used)
            used.new_test()
            used.requested = True
            yield details
        finally:
            self.used.remove(used)
            used.managed.__exit__(None, None, None)

    def managed(self, service: Any, arguments: dict[str, Any]) -> "servicectx.Managed[Any]":
        """`servicectx.managed` with the settings of the run, not entered yet."""
        __tracebackhide__ = True
        try:
            return servicectx.managed(service, **self._settings.defaults() | arguments)
        except servicectx.ServiceCtxError as error:
            raise error.with_traceback(None) from None

    def note_fixture(self, details: Any, fixture: str) -> None:
        """Record another fixture that gives these details to tests."""
        for used in self.used:
            if used.managed.details is details:
                used.fixtures.add(fixture)
                used.requested = True

    def _enter(self, used: Used) -> None:
        partner, known_failure, use, failure = self._partner(), None, None, None
        key = used.label
        try:
            key = used.managed.key or key
            known_failure = partner.begin(key, float(used.call[1].get("timeout") or TIMEOUT))
            if known_failure is not None:
                raise _rebuilt(known_failure)
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
            if known_failure is None:
                self._report_end(partner, used, key, use, failure)

    def _report_end(
        self, partner: Coordinator | CoordinatorClient, used: Used, key: str, use: Record | None, failure: Record | None
    ) -> None:
        try:
            partner.end(key, use, failure, used.managed.ticket)
        except RunIsOver:
            used.managed.__exit__(None, None, None)

    def _report_temporary(self, used: Used) -> None:
        """Report a start for the summary. The controller takes no lease: the service may stop before the run ends."""
        with contextlib.suppress(RunIsOver):  # the next service that this process requests ends the run
            self._partner().end(f"{used.label}, temporary", self._report(used), None, None)

    def _report(self, used: Used) -> Record:
        managed = used.managed
        if used.error is not None:
            how = "failed"
        elif managed.external:
            how = "external"
        else:
            how = "joined" if managed.joined else "started"
        error = type(used.error).__name__ if used.error is not None else ""
        setup = (managed.details and managed.details.setup) or ""
        report = {"label": used.label, "how": how, "took": managed.took, "by": self._worker, "error": error}
        return report | {"setup": setup}

    def _partner(self) -> Coordinator | CoordinatorClient:
        """The coordinator itself, or a client of it. A forked child needs a client of its own."""
        address, own = self._settings.address, self._coordinator
        if not address or (address == own.address and own.is_here()):
            return own
        if self._client_pid != os.getpid():
            self._client_pid = os.getpid()
            try:
                self._client = CoordinatorClient(address, self._leave_all)
            except OSError:
                # Another machine: its workers hold leases of their own, and share services as usual.
                self._client = None
        return self._client or own

    def _leave_all(self) -> None:
        """The first process is gone, but the current test may go on for long: leave all services now, side by side."""
        for used in self.used:
            threading.Thread(target=_leave, args=(used.managed,), daemon=True).start()

    def close(self) -> None:
        """Leave all services, the last one first. No failure hides another."""
        if self._client is not None and self._client_pid == os.getpid():
            self._client.close()
        with contextlib.ExitStack() as stack:
            for used in self.used:
                stack.push(used.managed)


def label(service: Any, arguments: dict[str, Any]) -> str:
    """Label of a service in reports: `redis`, `postgres 'orders'`, or `postgres 17 'orders'`."""
    kind = service if isinstance(service, str) else str(service.name)
    name, version = arguments.get("name"), arguments.get("version")
    called = kind if version is None else f"{kind} {version}"
    return called if name in (None, kind) else f"{called} {name!r}"


def _rebuilt(record: Record) -> "servicectx.ServiceCtxError":
    error = getattr(servicectx, record["error"])(**record["data"])
    assert isinstance(error, servicectx.ServiceCtxError)
    return error


def _leave(managed: "servicectx.Managed[Any]") -> None:
    with contextlib.suppress(Exception):
        managed.__exit__(None, None, None)
