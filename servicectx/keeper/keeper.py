"""The keeper: the small parent process of one server, from its start until the last file is removed."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx.datadirs import spare
from servicectx.errors import HomeError, ServiceCtxError, StartFailed
from servicectx.keeper import after_kill, kept_data, snapshot
from servicectx.keeper.datadir import DataDirectory
from servicectx.keeper.events import Event, EventWaiter
from servicectx.keeper.requester import Requester, RequesterGone
from servicectx.keeper.restart_inbox import RestartInbox
from servicectx.keeper.shutdown import LOCK_TIMEOUT, current, exit_text, record_death, remove_when_unused
from servicectx.services import plan
from servicectx.state import container, owned_files, persistent
from servicectx.state.instance import Instance
from servicectx.state.instance_files import KEEPER
from servicectx.state.record import FAILED, READY, STOPPING, Processes, State, StateError
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
    """SIGTERM arrived: stop at once. Its sender holds the key's lock, or is a stranger, or dies meanwhile."""


class Keeper:
    """Start the server, report to the requester, watch server and users, stop, clean up."""

    def __init__(self, instance: Instance, id: str, watchdog: int) -> None:
        self.name: str | None = None
        self.instance = instance
        self.id = id
        self.watchdog = processes.identity(watchdog)
        self.me = processes.me()
        self.service = instance.key.rpartition("-")[0]
        self.data_directory: Path | None = None
        self.data: DataDirectory | None = None
        self.stopping = False
        self.requester = Requester()
        self.start: Startup | None = None
        self.reserve = Reserve()
        self.is_clean = True  # False: a process or a file of the instance may be left
        self.spare: spare.Maker | None = None
        self.keeping: kept_data.KeptData | None = None
        self.prefetcher: PrefetcherProcess | None = None
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.signal(signal.SIGUSR1, lambda *_: None)  # wakes `watch` for a restart; its default action would end

    def live(self) -> None:
        linux.adopt_orphans()
        try:
            failure = self._start()
            if failure is None:
                self.requester.close()
                assert self.start is not None
                self.watch(self.start)
            else:
                self.requester.report({"failed": failure.record()})
                self.requester.close()
                self.clear_server()
                if self.is_clean:
                    remove_when_unused(self.instance, self.id)
        except TerminationRequested:
            self.clear_server()
            self._remove_directory()
            with contextlib.suppress(OSError, HomeError, ImportError):  # the sender may be dead by now
                self.instance.remove_lock_of_the_dead()
        except RequesterGone:
            self.clear_server()
            self._withdraw()

    def _start(self) -> ServiceCtxError | None:
        """Carry out the command and report. Return a failure that is not reported yet.

        This method takes no lock: the requester holds the key's lock until it has a report or the keeper is gone.
        """
        try:
            command = self.requester.read_command()
            service_plan = plan.decode(command["plan"])
            self.name, self.service = command["name"], service_plan.service
            self.keeping = kept_data.KeptData(self.instance, self.id, command)
            self.data_directory = Path(command["data_directory"])
            self.data = data = DataDirectory(self.data_directory, service_plan, command, self.instance.home)
            self.instance.hold(self.id, KEEPER, self.me)
            self.record_server(None)
            data.begin()
            from servicectx.keeper.startup import (  # while the data is copied; the watchdog never loads mirakuru
                Host,
                Startup,
            )

            directory = self.instance.directory(self.id)
            host = Host(directory, self.requester, self.record_server, (self.me, self.watchdog))
            self.start = start = Startup(host, service_plan, command, data)
            report = start.run()
            assert self.keeping is not None
            self.keeping.note(report)
            if service_plan.prefetcher is not None:
                from servicectx.keeper.prefetcher_process import PrefetcherProcess

                with contextlib.suppress(OSError):  # prefetching is optional
                    self.prefetcher = PrefetcherProcess(
                        self.instance.directory(self.id), plan.render(service_plan.prefetcher, start.facts)
                    )
            self.requester.report({"ready": report})
            if snapshot.is_wanted(start) and self._is_set_up():
                self.requester.report({"ready": snapshot.take(start)})
            return None
        except ServiceCtxError as error:
            return error
        except OSError as error:
            return faults.home_error(error, "not written", str(self.data_directory)) or self.crash(error)
        except Exception as error:  # noqa: BLE001  # the requester needs a report of every failure
            return self.crash(error)

    def crash(self, error: BaseException) -> StartFailed:
        """Describe an unexpected error with its traceback, which is also written to keeper.log."""
        import traceback

        text = "".join(traceback.format_exception(error))
        sys.stderr.write(text)
        reason = f"{type(error).__name__}: {error}"
        failure = self.start.failure(reason) if self.start else StartFailed(reason=reason)
        log_tail = "\n".join(filter(None, [failure.log_tail, "traceback of the keeper:", text.rstrip()]))
        return StartFailed(**failure.data | {"service": self.service, "name": self.name, "log_tail": log_tail})

    def _is_set_up(self) -> bool:
        """Wait for the requester's set-up. False: the set-up failed, or the requester died (its lease is then free)."""
        try:
            return "snapshot" in self.requester.read_command()
        except RequesterGone:
            return False

    def _withdraw(self) -> None:
        """Remove a start without a requester. A recorded failure stays until its last reader has left."""
        if not self.is_clean:  # the watchdog repeats the end
            return
        try:
            with self.instance.locked(LOCK_TIMEOUT):
                state = current(self.instance, self.id)
                if state is not None and state.phase != FAILED:
                    self.instance.remove(state)
            if state is not None and state.phase == FAILED:
                remove_when_unused(self.instance, self.id)
        except TerminationRequested:
            pass
        self._remove_directory()

    def record_server(self, server: Process | None) -> None:
        """Record the processes of this instance. Raises HomeError when the instance was removed meanwhile."""
        self.instance.record_processes(self.id, Processes(self.me, self.watchdog, server))

    # -- wait for the end ------------------------------------------------------------------------------------------

    def watch(self, start: "Startup") -> None:
        """Wait for the end of the linger time after the last user, or for the end of the server. Restart it on request.

        A fault of the machine ends neither wait: a server counts as used while its users cannot be counted.
        """
        with contextlib.suppress(OSError, RuntimeError):  # a spare is optional
            self.spare = spare.Maker(start.data.cache, start.data.sources, start.data.path, start.data.owner)
        waiter = EventWaiter(self.instance, self.id, self.reserve, self.prefetcher)
        pause = Pause()
        while True:
            server = start.server
            assert server is not None
            try:
                event = waiter.wait(server)
                if event is Event.ENDED:
                    self._record_death(start, server)
                    return
                if event is Event.RESTART:
                    if not self._restart(start, waiter.inbox):
                        return
                elif waiter.lingered(server) and self._stop():
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
        status = server.exit_status
        self._end_dead(start, f"the server was {exit_text(status or 0)}", status)

    def _end_dead(self, start: "Startup", reason: str, status: int | None, log_tail: str | None = None) -> None:
        """Record the death for the users, and remove the instance after the last of them."""
        log_tail = log_tail or start.log_tail()
        self.reserve.release()
        start.end()
        persist(record_death, self.instance, self.id, reason, status, log_tail)
        self.clear_server()
        persist(remove_when_unused, self.instance, self.id)

    def _restart(self, start: "Startup", inbox: RestartInbox) -> bool:
        """Carry out the pending requests. False: the server did not start again, and the instance is removed."""
        from servicectx.keeper import restart  # only now: most servers are never restarted

        server, kept = start.server, self.keeping is not None and self.keeping.applies()
        try:
            restart.carry_out(start, inbox, self.instance, kept, self._prepare_restart)
        except Exception as error:  # the users need the reason of every failure
            if start.server is server and isinstance(error, HomeError | OSError):  # a fault before the server was ended
                raise
            failure = error if isinstance(error, ServiceCtxError | OSError) else self.crash(error)
            self._end_dead(start, *restart.death(failure))
            return False
        return True

    def _prepare_restart(self) -> None:
        """Without a recorded server, processes that join wait for an answer instead of recording a death."""
        self.record_server(None)
        if self.prefetcher is not None:
            self.prefetcher.end()  # the next event starts another one

    def _stop(self) -> bool:
        """Announce the stop, count users once more, and end. False: a user joined in that moment."""
        self.reserve.release()
        with self.instance.locked(LOCK_TIMEOUT):
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
            if state is not None and self.is_clean:
                with contextlib.suppress(OSError, HomeError):  # read-only, for example: then the directory stays, too
                    self.instance.forget()
            self._remove_directory()
        return True

    def _announce(self, state: State) -> None:
        """Write the STOPPING state, or remove the state file on a full file system: both prevent joins."""
        self.instance.keep_for_write_back(state.id)
        try:
            self.instance.write_failure(state)
        except HomeError:
            self.instance.forget()

    def _stop_unlocked(self) -> None:
        """Stop without the lock, for a home that accepts no new files: no new lease can appear there either."""
        self.stopping = True
        self.clear_server()
        self._remove_directory()

    def clear_server(self) -> None:
        """End the server and remove its data. Kept data stays, with the server's log beside it.

        A failure in one part does not stop the others. The watchdog repeats the parts that failed.
        """
        keeps = self.keeping is not None and self.keeping.applies()
        if keeps and self.start is not None:
            self._attempt(kept_data.end_cleanly, self.start)
        parts = [self.prefetcher, self.spare, self.start]
        for end in [part.end for part in parts if part is not None]:
            self._attempt(end)
        self._attempt(linux.end_orphans)  # for example a child that still copies data, or a server not recorded yet
        self._attempt(after_kill.run, self.instance.directory(self.id))  # while the data exists
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
        """Remove the state file, then the directory. If that fails, the watchdog or a visitor repeats both.

        They name the data, so they stay as long as a part of the end failed: the watchdog needs them to repeat it.
        """
        if not self.is_clean:
            return
        with contextlib.suppress(OSError, HomeError, StateError):
            self.instance.forget_unlocked(self.id)
            self.instance.remove_directory(self.id)
        self._check_removed(self.instance.directory(self.id))

    def _remove_data(self, path: Path) -> None:
        if self.keeping is not None and self.keeping.persist:
            if self.data is None or not self.data.locks:  # another instance has the data
                return
            persistent.remove(path, own=True)
        else:
            container.remove(path, own=True)
        self._check_removed(path)

    def _attempt(self, action: Callable[..., Any], *arguments: Any) -> None:
        done = persist(action, *arguments, shortage=faults.FAULT_TIME)  # the action itself may find something left
        self.is_clean = self.is_clean and done

    def _check_removed(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            if not os.statvfs(path).f_flag & os.ST_RDONLY:
                self.is_clean = False

    def _on_sigterm(self, *_: Any) -> None:
        if not self.stopping:
            self.stopping = True
            raise TerminationRequested
