"""The keeper: the small process that is the parent of one server, from its start until nothing of it is left."""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx.datadirs import spare
from servicectx.errors import HomeError, ServiceCtxError, StartFailed
from servicectx.keeper import kept_data, snapshot
from servicectx.keeper.datadir import DataDirectory
from servicectx.keeper.requester import Requester, RequesterGone
from servicectx.keeper.shutdown import PATIENCE, current, exit_text, record_death, remove_when_unused
from servicectx.keeper.unused import UnusedWaiter
from servicectx.services import plan
from servicectx.state import container, leases, owned_files
from servicectx.state.instance import KEEPER, Instance
from servicectx.state.record import FAILED, READY, STOPPING, Processes, State
from servicectx.system import faults, linux, processes
from servicectx.system.checkpoints import step
from servicectx.system.persistence import Pause, persist
from servicectx.system.processes import Process
from servicectx.system.reserve import Reserve

if TYPE_CHECKING:
    from servicectx.keeper.prefetcher_process import PrefetcherProcess
    from servicectx.keeper.server import Server
    from servicectx.keeper.startup import Startup


class TerminationRequested(BaseException):
    """SIGTERM came: stop at once. Whoever sent it holds the key's lock."""


class Keeper:
    """Starts the server, tells the starter, watches server and users, stops, clears up."""

    def __init__(self, instance: Instance, id: str, guard: int) -> None:
        self.name: str | None = None
        self.instance = instance
        self.id = id
        self.guard = processes.identity(guard)
        self.me = processes.me()
        self.service = instance.key.rpartition("-")[0]
        self.data_directory: Path | None = None
        self.stopping = False
        self.starter = Requester()
        self.start: Startup | None = None
        self.reserve = Reserve()
        self.is_clean = True  # False: something that should have been ended or removed may be left
        self.spare: spare.Maker | None = None
        self.keeping: kept_data.KeptData | None = None
        self.helper: PrefetcherProcess | None = None
        signal.signal(signal.SIGTERM, self._told)

    def live(self) -> None:
        linux.adopt_orphans()
        try:
            failure = self._start()
            if failure is None:
                self.starter.close()
                assert self.start is not None
                self.watch(self.start)
            else:
                self.starter.report({"failed": failure.record()})
                self.starter.close()
                self.clear_server()
                remove_when_unused(self.instance, self.id)
        except TerminationRequested:
            self.clear_server()
            self._remove_directory()
        except RequesterGone:
            self.clear_server()
            self._withdraw()

    def _start(self) -> ServiceCtxError | None:
        """Carry out the order and report. The result is a failure that is still to be reported.

        No lock is taken in here: the starter holds the key's lock until it has a report, whatever goes wrong.
        """
        try:
            order = self.starter.order()
            what = plan.decode(order["plan"])
            self.name, self.service = order["name"], what.service
            self.keeping = kept_data.KeptData(self.instance, self.id, order)
            self.data_directory = Path(order["data_directory"])
            data = DataDirectory(self.data_directory, what, order, self.instance.home)
            self.instance.hold(self.id, KEEPER, self.me)
            self.record_server(None)
            data.begin()
            from servicectx.keeper.startup import (  # meanwhile; it brings mirakuru, which the guard does without
                Host,
                Startup,
            )

            directory = self.instance.directory(self.id)
            host = Host(directory, self.starter, self.record_server, (self.me, self.guard))
            self.start = start = Startup(host, what, order, data)
            facts = start.run()
            assert self.keeping is not None
            self.keeping.note(facts)
            if what.helper is not None:
                from servicectx.keeper.prefetcher_process import PrefetcherProcess

                with contextlib.suppress(OSError):  # it can do without
                    self.helper = PrefetcherProcess(
                        self.instance.directory(self.id), plan.render(what.helper, start.facts)
                    )
            self.starter.report({"ready": facts})
            if snapshot.is_wanted(start) and self._is_set_up():
                self.starter.report({"ready": snapshot.take(start)})
            return None
        except ServiceCtxError as error:
            return error
        except OSError as error:
            return faults.home_error(error, "not written", str(self.data_directory)) or self.crash(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, the starter must hear of it
            return self.crash(error)

    def crash(self, error: BaseException) -> StartFailed:
        """An error that the plan does not explain, with its traceback, which keeper.log gets as well."""
        import traceback

        text = "".join(traceback.format_exception(error))
        sys.stderr.write(text)
        reason = f"{type(error).__name__}: {error}"
        failure = self.start.failure(reason) if self.start else StartFailed(reason=reason)
        log_tail = "\n".join(filter(None, [failure.log_tail, "the traceback of its keeper:", text.rstrip()]))
        return StartFailed(**failure.data | {"service": self.service, "name": self.name, "log_tail": log_tail})

    def _is_set_up(self) -> bool:
        """Wait for the starter's word. False: its set-up failed, or it died, which its lease will tell."""
        try:
            return "snapshot" in self.starter.order()
        except RequesterGone:
            return False

    def _withdraw(self) -> None:
        """Leave nothing of a start that nobody waits for any more, but for a failure that others still read."""
        try:
            with self.instance.locked(PATIENCE):
                state = current(self.instance, self.id)
                if state is not None and state.phase != FAILED:
                    self.instance.remove(state)
            if state is not None and state.phase == FAILED:
                remove_when_unused(self.instance, self.id)
        except TerminationRequested:
            pass
        self._remove_directory()

    def record_server(self, server: Process | None) -> None:
        """Record the processes of this instance. Raises HomeError when it was removed meanwhile."""
        self.instance.tell_processes(self.id, Processes(self.me, self.guard, server))

    # -- the long wait ---------------------------------------------------------------------------------------------

    def watch(self, start: "Startup") -> None:
        """Until the last user has left and none came while lingering, or the server ended.

        A fault of the machine ends neither: as long as users cannot be counted, the server is taken for used.
        """
        leases.get_ready()  # to stop without delay when it is time
        server = start.server
        assert server is not None
        with contextlib.suppress(OSError, RuntimeError):  # it can do without
            self.spare = spare.Maker(start.data.cache, start.data.sources, start.data.path, start.data.owner)
        waiter = UnusedWaiter(self.instance, self.id, self.reserve)
        pause = Pause()
        while True:
            try:
                if not self._wait_until_unused(server, waiter):
                    self._record_death(start, server)
                    return
                if self._lingered(server) and self._stop():
                    return
                pause.over()
                self.reserve.refill()
            except (OSError, HomeError) as error:
                self.reserve.release()
                given_up = pause.after(error) > faults.patience(error, float("inf"))
                if given_up and not self.instance.is_used(self.id):
                    self._stop_unlocked()
                    return

    def _record_death(self, start: "Startup", server: "Server") -> None:
        step("server-died")
        status, log_tail = server.exit_status, start.log_tail()
        self.reserve.release()
        start.end()
        persist(record_death, self.instance, self.id, f"the server was {exit_text(status or 0)}", status, log_tail)
        self.clear_server()
        persist(remove_when_unused, self.instance, self.id)

    def _wait_until_unused(self, server: "Server", waiter: UnusedWaiter) -> bool:
        """True: nobody holds a lease. False: the server ended first."""
        waiter.begin()
        descriptor = server.descriptor()
        while True:
            poller = select.poll()
            poller.register(waiter.descriptor, select.POLLIN)
            for each in self.helper.descriptors() if self.helper is not None else ():
                poller.register(each, select.POLLIN)
            if descriptor is not None:
                poller.register(descriptor, select.POLLIN)
            poller.poll(self._poll_time(descriptor, waiter))
            if server.exit_status is not None:
                return False
            if waiter.is_unused():
                return True
            if self.helper is not None:
                self.helper.look()

    def _poll_time(self, descriptor: int | None, waiter: UnusedWaiter) -> int | None:
        """Milliseconds; None where every event has its descriptor."""
        if descriptor is None or waiter.polls:
            return 50
        return 500 if self.helper is not None and self.helper.is_paused() else None

    def _lingered(self, server: "Server") -> bool:
        """Whether nobody came or went for the whole time that the users wished."""
        left = self.instance.linger(self.id)
        traffic = self.instance.traffic(self.id)
        while left > 0:
            pause = min(left, 1.0)
            if server.wait(pause) or self.instance.is_used(self.id):
                return False
            left -= pause
            if self.helper is not None:
                self.helper.look()
            if traffic != (now := self.instance.traffic(self.id)):
                traffic, left = now, self.instance.linger(self.id)
        return True

    def _stop(self) -> bool:
        """Announce it, count once more, and end. False: somebody joined in that moment."""
        self.reserve.release()
        with self.instance.locked(PATIENCE):
            state = current(self.instance, self.id)
            if state is not None and state.phase == READY:
                self._announce(state._replace(phase=STOPPING))
            step("stopping")
            if self.instance.is_used(self.id):
                if state is not None:
                    self.instance.write_back(state)
                return False
            self.stopping = True
            self.clear_server()
            step("cleaning")
            if state is not None:
                with contextlib.suppress(OSError):  # a read-only file system: the next visitor removes it
                    self.instance.forget()
            self._remove_directory()
        return True

    def _announce(self, state: State) -> None:
        """On a full file system too: without a state file nobody joins either."""
        self.instance.keep_for_write_back(state.id)
        try:
            self.instance.write_failure(state)
        except HomeError:
            self.instance.forget()

    def _stop_unlocked(self) -> None:
        """Where no lock can be had, since the home takes no files any more: then it takes no lease either."""
        self.stopping = True
        self.clear_server()
        with contextlib.suppress(OSError):
            self.instance.forget()
        self._remove_directory()

    def clear_server(self) -> None:
        """End the server and remove its data, or leave its log beside them where a user wished to keep them.

        Each part is ended whatever becomes of the others. What could not be done is left to the guard.
        """
        keeps = self.keeping is not None and self.keeping.applies()
        if keeps and self.start is not None:
            self._attempt(kept_data.end_cleanly, self.start)
        parts = [self.helper, self.spare, self.start]
        for end in [part.end for part in parts if part is not None]:
            self._attempt(end)
        self._attempt(linux.end_orphans)  # one that still copies data, say
        self._attempt(owned_files.remove_owned, self.instance.directory(self.id))
        if self.keeping is None or self.data_directory is None:
            return
        if not keeps:
            self._attempt(self._remove_data, self.data_directory)
        elif not self.keeping.opened:
            self._attempt(self.keeping.finish)
            self._attempt(self.instance.mark_kept, self.id, self.data_directory)
            if self.start is not None and self.start.log.exists():
                self._attempt(self.start.data.keep_log, self.start.log)

    def _remove_directory(self) -> None:
        self.instance.remove_directory(self.id)
        self._check_removed(self.instance.directory(self.id))

    def _remove_data(self, path: Path) -> None:
        container.remove(path, own=True)
        self._check_removed(path)

    def _attempt(self, action: Callable[..., Any], *arguments: Any) -> None:
        self.is_clean &= persist(action, *arguments, shortage=faults.FAULT_TIME)

    def _check_removed(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            if not os.statvfs(path).f_flag & os.ST_RDONLY:
                self.is_clean = False

    def _told(self, *_: Any) -> None:
        if not self.stopping:
            self.stopping = True
            raise TerminationRequested
