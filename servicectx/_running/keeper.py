"""The keeper: the small process that is the parent of one server, from its start until nothing of it is left."""

import contextlib
import os
import select
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx._running import keeping, linux, pids, plan, snapshot, spare
from servicectx._running.data import Data
from servicectx._running.ending import PATIENCE, current, how, record_death, remove_when_unused
from servicectx._running.starter import Starter, StarterGone
from servicectx._sharing import handouts, leases
from servicectx._sharing.instance import Instance
from servicectx._sharing.removal import remove_tree
from servicectx._sharing.state import READY, STOPPING, Process, Processes
from servicectx._sharing.steps import step
from servicectx.errors import HomeError, ServiceCtxError

if TYPE_CHECKING:
    from servicectx._running.helper import Helper
    from servicectx._running.process import Server
    from servicectx._running.start import Start


class Told(BaseException):
    """SIGTERM came: stop at once. Whoever sent it holds the key's lock."""


class Keeper:
    """Starts the server, tells the starter, watches server and users, stops, clears up."""

    def __init__(self, instance: Instance, id: str, guard: int) -> None:
        self.instance = instance
        self.id = id
        self.guard = pids.identity(guard)
        self.me = pids.me()
        self.stopping = False
        self.starter = Starter()
        self.start: Start | None = None
        self.spare: spare.Maker | None = None
        self.keeping: keeping.Keeping | None = None
        self.helper: Helper | None = None
        signal.signal(signal.SIGTERM, self._told)

    def live(self) -> None:
        linux.adopt_orphans()
        order = self.starter.order()
        what = plan.decode(order["plan"])
        self.data_directory = Path(order["data_directory"])
        data = Data(self.data_directory, what, order)
        self.keeping = keeping.Keeping(self.instance, self.id, order)
        try:
            self.tell(None)
            data.begin()
            from servicectx._running.start import Start  # meanwhile; it brings mirakuru, which the guard does without

            self.start = Start(self, what, order, data)
            failure = self._start(self.start)
            if failure is None:
                self.starter.hang_up()
                self.spare = spare.Maker(data.cache, data.sources, data.path, data.owner)
                self.watch(self.start)
            else:
                self.starter.report({"failed": failure.record()})
                self.starter.hang_up()
                self.clear_server()
                remove_when_unused(self.instance, self.id)
        except Told:
            self.clear_server()
            remove_tree(self.instance.directory(self.id))
        except (StarterGone, HomeError):
            self.clear_server()
            self._withdraw()

    def _start(self, start: "Start") -> ServiceCtxError | None:
        try:
            facts = start.run()
            assert self.keeping is not None
            self.keeping.note(facts)
            if start.plan.helper is not None:
                from servicectx._running.helper import Helper

                with contextlib.suppress(OSError):  # it can do without
                    order = plan.render(start.plan.helper, start.facts)
                    self.helper = Helper(self.instance.directory(self.id), order)
            self.starter.report({"ready": facts})
            if snapshot.is_wanted(start) and self._is_set_up():
                self.starter.report({"ready": snapshot.take(start)})
        except HomeError:
            raise
        except ServiceCtxError as error:
            return error
        except Exception as error:  # noqa: BLE001  # whatever it is, the starter must hear of it
            return start.failure(f"{type(error).__name__}: {error}")
        return None

    def _is_set_up(self) -> bool:
        """Wait for the starter's word. False: its set-up failed, or it died, which its lease will tell."""
        try:
            return "snapshot" in self.starter.order()
        except StarterGone:
            return False

    def _withdraw(self) -> None:
        """Leave nothing of a start that nobody waits for any more."""
        try:
            with self.instance.locked(PATIENCE):
                if state := current(self.instance, self.id):
                    self.instance.remove(state)
        except Told:
            pass
        remove_tree(self.instance.directory(self.id))

    def tell(self, server: Process | None) -> None:
        """Say who runs this instance. Fails when it was cleared meanwhile."""
        self.instance.tell_processes(self.id, Processes(self.me, self.guard, server))

    # -- the long wait ---------------------------------------------------------------------------------------------

    def watch(self, start: "Start") -> None:
        """Until the last user has left and none came while lingering, or the server ended."""
        leases.get_ready()  # to stop without delay when it is time
        server = start.server
        assert server is not None
        while True:
            if not self._wait_until_unused(server):
                step("server-died")
                status, log_tail = server.exit_status, start.log_tail()
                start.end()
                record_death(self.instance, self.id, f"the server was {how(status or 0)}", status, log_tail)
                self.clear_server()
                remove_when_unused(self.instance, self.id)
                return
            if self._lingered(server) and self._stop():
                return

    def _wait_until_unused(self, server: "Server") -> bool:
        """True: nobody holds a lease. False: the server ended first."""
        reading, writing = os.pipe()

        def wait() -> None:
            self.instance.wait_until_unused(self.id)
            os.close(writing)

        threading.Thread(target=wait, daemon=True).start()
        descriptor = server.descriptor()
        while True:
            poller = select.poll()
            poller.register(reading, select.POLLIN | select.POLLHUP)
            for each in self.helper.descriptors() if self.helper is not None else ():
                poller.register(each, select.POLLIN)
            if descriptor is not None:
                poller.register(descriptor, select.POLLIN)
            poller.poll(None if descriptor is not None else 50)
            if server.exit_status is not None:
                return False
            if select.select([reading], [], [], 0)[0]:
                os.close(reading)
                return True
            if self.helper is not None:
                self.helper.look()

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
        with self.instance.locked(PATIENCE):
            state = current(self.instance, self.id)
            if state is not None and state.phase == READY:
                self.instance.write(state._replace(phase=STOPPING))
            step("stopping")
            if self.instance.is_used(self.id):
                if state is not None:
                    self.instance.write(state)
                return False
            self.stopping = True
            self.clear_server()
            step("cleaning")
            if state is not None:
                self.instance.forget()
            remove_tree(self.instance.directory(self.id))
        return True

    def clear_server(self) -> None:
        """End the server and remove its data, or leave its log beside them where a user wished to keep them."""
        if self.helper is not None:
            self.helper.end()
        if self.spare is not None:
            self.spare.end()
        keeps = self.keeping is not None and self.keeping.applies()
        if self.start is not None:
            if keeps:
                keeping.end_cleanly(self.start)
            self.start.end()
        linux.end_orphans()  # one that still copies data, say
        handouts.take_back(self.instance.directory(self.id))
        if not keeps:
            remove_tree(self.data_directory)
        elif self.keeping is not None and self.start is not None:
            self.keeping.finish(self.start.log)

    def _told(self, *_: Any) -> None:
        if not self.stopping:
            self.stopping = True
            raise Told
