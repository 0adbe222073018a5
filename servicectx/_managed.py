"""The context manager of `managed()`: sync and async, safe in forked children, left at exit at the latest."""

import atexit
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from servicectx._async import enter_in_thread, leave_in_thread
from servicectx.client.attempt import Cancelled
from servicectx.client.control import ServerControl
from servicectx.client.join import acquire
from servicectx.client.ticket import ticket_for
from servicectx.errors import ServiceCtxError
from servicectx.request import external as _external
from servicectx.request.request import Request
from servicectx.state.leases import Releasable
from servicectx.system.interrupts import run_to_end
from servicectx.system.originals import time
from servicectx.system.real_files import RealFiles

if TYPE_CHECKING:
    from servicectx.services.details import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")


class Managed(ServerControl[D]):
    """A service for the length of the block. The object can be entered again after it was left."""

    def __init__(self, request: Request[Any]) -> None:
        super().__init__(request)
        self._busy = threading.Lock()
        self._cancelled = threading.Event()
        #: Seconds that entering took.
        self.took = 0.0

    def __enter__(self) -> D:
        """Return the details of a usable instance: joined if there is one, otherwise started.

        Raises:
            BinaryNotFound: the program of the server was not found.
            StartFailed, StartTimeout, SetupFailed: also after the failed start of another process that this one waited
                for.
            DetailsError: the external details cannot be used.
            HomeError: the directory of instances is unsafe or full.
            InvalidOption: `keep_data` is set, and the service has no data.
            KeptDataError: kept data is in use, or the programs here cannot read it.
            RuntimeError: this object is entered already.
        """
        if self._pid not in (0, os.getpid()):  # a forked child got this object entered: here it is not
            self._busy, self._pid = threading.Lock(), 0
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this managed() object is entered already; make another one with managed(...)")
        began = time.monotonic()
        held: list[Releasable] = []
        try:
            with RealFiles():
                self._claim = None
                source = _external.variable(self._request.name)
                if source is not None:
                    details: D = _external.read(source, self._request.service, self._request.name)
                    _external.check_version(details, source, self._request.options)
                    _external.reach(details, source, self._request.service.probe_request, self._cancelled.is_set)
                else:
                    self._claim = acquire(self._request, began, self._cancelled, held)
                    details = self._built(self._claim)
            self._details = details
            self.took = time.monotonic() - began
            self._pid = os.getpid()
            _entered.add(self)
            return details
        except BaseException:
            self._pid, self._claim = 0, None
            if held:
                run_to_end(lambda: release(held))
            self._busy.release()
            raise

    def __exit__(self, *_: object) -> None:
        """Leave. For the last user this returns when server, keeper, data and port are gone; at once if it lingers.

        In a forked child, and the second time, nothing happens.
        """
        if os.getpid() != self._pid:
            return
        self._pid = 0
        _entered.discard(self)
        try:
            if self._claim is not None:
                with RealFiles():
                    self._claim.leave()
        finally:
            self._request = self._request.renewed()
            self._busy.release()

    async def __aenter__(self) -> D:
        """As `with`, in a thread. A task that is cancelled while it waits leaves nothing behind."""
        return await enter_in_thread(self._enter_or_none, self.__exit__, self.cancel, self.reset_cancel)

    async def __aexit__(self, *_: object) -> None:
        await leave_in_thread(self.__exit__)

    def cancel(self) -> None:
        """Make the thread that enters this object stop waiting. A second call changes nothing."""
        self._cancelled.set()

    def reset_cancel(self) -> None:
        self._cancelled.clear()

    def _enter_or_none(self) -> D | None:
        try:
            return self.__enter__()
        except Cancelled:
            return None

    @property
    def external(self) -> bool:
        """Whether the details are external."""
        return self._details is not None and self._details.external

    @property
    def joined(self) -> bool:
        """True if a running instance was joined, False if this user started it."""
        return self._claim is not None and self._claim.joined

    @property
    def log_path(self) -> str | None:
        """The file with the output of the server, while the server lives; None for an external service."""
        if self._claim is None:
            return None
        return str(self._claim.log())

    @property
    def scope(self) -> str:
        """The users that share the instance: the argument, or its default from the environment and the project."""
        return self._request.scope

    @property
    def key(self) -> str | None:
        """A text that is equal for all users of the instance, also before entering; None for external details.

        Raises BinaryNotFound.
        """
        if _external.variable(self._request.name) is not None:
            return None
        with RealFiles():
            return self._request.key(self._request.program())

    @property
    def ticket(self) -> str | None:
        """A text for `hold()` in another process of this user; None before entering, and for external details."""
        return None if self._claim is None else ticket_for(self._claim.instance, self._claim.state)

    @property
    def alive(self) -> bool:
        """Whether the instance answers now.

        For an external service: whether it replies within 2 s, or whether the path exists where the host is one.
        """
        if self._claim is not None:
            with RealFiles():
                return self._claim.alive()
        return self._details is not None and self._answers(self._details.host, self._details.port)

    @property
    def failure(self) -> ServiceCtxError | None:
        """Why the instance is dead (a ServiceDied, with its exit status and log), or None while it lives."""
        with RealFiles():
            return None if self._claim is None or self.alive else self._claim.failure()

    def _answers(self, host: str, port: int) -> bool:
        if host.startswith("/"):  # the directory of a socket, as in libpq
            return os.path.exists(host)
        from servicectx.request import reachable

        return not reachable.problem(host, port, 2.0, probe_request=self._request.service.probe_request)

    if not TYPE_CHECKING:  # type checkers shall report unknown attributes

        def __getattr__(self, name: str) -> Any:
            request = self.__dict__.get("_request")
            hint = f"; the details are in a block: `with managed({request.name!r}) as details:`" if request else ""
            raise AttributeError(f"'Managed' object has no attribute {name!r}{hint}")

    def __repr__(self) -> str:
        state = "entered" if self._pid else "not entered"
        return f"<managed {self._request.service.name} {self._request.name!r}, scope {self._request.scope!r}, {state}>"

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        # A default, because a module may lose its globals before the last objects are deleted at exit.
        if getattr(self, "_pid", 0) == getpid():
            warning = f"{self!r} was never left; use it in a with statement"
            warnings.warn(warning, ResourceWarning, stacklevel=2, source=self)
            self.__exit__()


_entered: weakref.WeakSet[Managed[Any]] = weakref.WeakSet()


@atexit.register
def _leave_all() -> None:
    for managed in list(_entered):
        managed.__del__()


def release(held: list[Releasable]) -> None:
    with RealFiles():
        for entry in held:
            entry.release()
