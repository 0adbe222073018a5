"""The keeper's side of a start: prepare the data, pick ports, run the program, probe until the service is usable."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.errors import StartFailed, StartTimeout
from servicectx.keeper import after_kill, chosen_ports, ports, probes, process_marks, programs, socket_directory
from servicectx.keeper import server as process
from servicectx.keeper.datadir import DataDirectory, Source
from servicectx.keeper.requester import Requester
from servicectx.services import plan
from servicectx.state import owned_files
from servicectx.system import platform
from servicectx.system.checkpoints import step
from servicectx.system.processes import Process

PORT_TRIES = 8
IN_USE = re.compile(r"address already in use|could not bind|could not create any TCP/IP sockets|EADDRINUSE", re.I)

NO_SHARED_MEMORY = re.compile(r"shared memory segment .*No space left on device")
SHARED_MEMORY_CURE = (
    "\n/dev/shm is too small for the server's shared memory; "
    "enlarge it: docker run --shm-size=256m, or mount -o remount,size=256m /dev/shm"
)


class PortLost(Exception):
    """Another program has the picked port."""


class Host(NamedTuple):
    """The parts of the keeper that a start needs. `spared`: processes that `process_marks.end` must not kill."""

    instance_directory: Path
    requester: Requester
    record_server: Callable[[Process | None], None]
    spared: tuple[Process | None, ...]


class Startup:
    """One start for one keeper. `run()` returns the start report: the facts for the service details."""

    def __init__(self, host: Host, service_plan: plan.Plan, start_command: dict[str, Any], data: DataDirectory) -> None:
        self._host = host
        self.plan = service_plan
        self.name: str = start_command["name"]
        self.timeout: float = start_command["timeout"]
        self.secret: str = start_command["secret"]
        chosen = start_command.get("port"), start_command.get("ports") or {}
        self._has_port = plan.listens_on_port(service_plan)
        self._chosen = chosen_ports.by_position(service_plan, *chosen)
        self._former = chosen_ports.former(service_plan, start_command.get("preferred_ports") or {})
        self.data = data
        self.restored = False
        self.ready: dict[str, Any] = {}
        self.deadline = time.monotonic() + start_command["left"]
        self.directory = data.directory
        self._instance_directory = host.instance_directory
        self.log = self._instance_directory / "service.log"
        self.log_start = 0  # bytes of the log before this run of the server
        self.facts: dict[str, Any] = {"host": plan.HOST, "dir": str(self.directory), "data": str(data.path)}
        self.facts["template_secret"] = ""
        self.server: process.Server | None = None
        self.companions: list[process.Server] = []
        self.command: list[str] = service_plan.command

    def run(self) -> dict[str, Any]:
        source = self._arrived()
        self.owner = self.data.owner
        self.plan = programs.within_reach(self.plan, self.data.container, self.owner, self.data.cache.path)
        try:
            return self._run(source)
        except (StartFailed, StartTimeout) as error:
            if source is None or not self.restored or self.data.opened:
                raise
            # A server ran on this data before and fails now: damage that the manifest check does not find.
            self._end_server()
            self.data.forget(source)
            if isinstance(error, StartTimeout):
                raise
        self.data.begin_copy()
        return self._run(self._arrived())

    def _arrived(self) -> Source | None:
        while not self.data.is_here(0.05):
            self._check("it was still copying its data")
        return self.data.arrived()

    def _run(self, source: Source | None) -> dict[str, Any]:
        self._prepare(source)
        if plan.mentions(plan.encode(self.plan), "socket_dir"):
            self.facts["socket_dir"] = socket_directory.choose(self.directory, self._instance_directory, self.owner)
        for number in range(PORT_TRIES):
            wanted = (chosen_ports.free(self.plan, self._former) if number == 0 else {}) | self._chosen
            picked = ports.pick(plan.HOST, len(self.plan.ports.extra), self.plan.ports.consecutive, wanted)
            self.facts |= zip(["port", *(f"port_{name}" for name in self.plan.ports.extra)], picked, strict=True)
            if not self._has_port:
                self.facts["port"] = 0
            try:
                return self.run_once()
            except PortLost:
                self._end_server()
                self._check_chosen_ports(lost=True)
                if source is None and self.plan.template is None:
                    self.data.make_empty()  # a server that was killed half-way may have left files
        raise self.failure(f"{PORT_TRIES} ports were picked, and each was taken by another program before it was bound")

    def end(self) -> None:
        """End the server, if there is one. A second call has no effect."""
        self._end_server()

    def log_tail(self) -> str:
        return process.tail(self.log)

    def probe(self, probe: dict[str, Any], wait: float) -> dict[str, Any] | None:
        """Run a rendered probe once, for at most about `wait` seconds, on this run of the server and its output."""
        return probes.run_probe(probe, plan.HOST, self.facts["port"], str(self.log), wait, self.log_start)

    def failure(self, reason: str, exit_status: int | None = None) -> StartFailed:
        if NO_SHARED_MEMORY.search(self.log_tail()):
            reason += SHARED_MEMORY_CURE
        return StartFailed(
            service=self.plan.service,
            name=self.name,
            reason=reason,
            command=process.shown(self.command),
            exit_status=exit_status,
            log_tail=self.log_tail(),
        )

    def _check_chosen_ports(self, lost: bool) -> None:
        """Raise the error of a chosen port that another program has. `lost`: also where no program has it any more."""
        facts = {"command": process.shown(self.command), "log_tail": self.log_tail()}
        if error := chosen_ports.problem(self.plan, self.name, self._chosen, **facts):
            raise error
        if lost and len(self._chosen) == 1 + len(self.plan.ports.extra):
            numbers = ", ".join(map(str, self._chosen.values()))
            raise self.failure(f"the server did not get the chosen port {numbers}, and no other program has it now")

    # -- steps -----------------------------------------------------------------------------------------------------

    def _prepare(self, source: Source | None) -> None:
        """Fill the data directory: with a prepared copy, else by the template's command (then stored), else empty."""
        if source is not None:
            self.restored = self.data.opened or source.place == self.data.snapshot
            self.facts["template_secret"] = source.secret
            return
        self.restored = False
        template = self.plan.template
        if template is None:
            self.data.make_empty()
            return
        self.facts["template_secret"] = template.secret
        self._note_leftovers()
        self.data.write(template.files, self.facts)
        maker = self._launch(plan.render(template.command, self.facts))
        step("preparing")
        while not maker.wait(0.02):
            self._check("it was still preparing its data")
        status = maker.exit_status
        self._end_server()
        if status != 0:
            raise self.failure(f"preparing its data failed ({process.status_text(status)})", status)
        self.data.unlink(plan.render(template.files, self.facts))
        if template.without:
            self.data.leave_out(template.without)
        assert self.data.template is not None
        self.data.keep(self.data.template, template.secret)

    def run_once(self) -> dict[str, Any]:
        port = self.facts["port"]
        self.log_start = self.log.stat().st_size if self.log.exists() else 0
        self.data.write(self.plan.files, self.facts)
        leftovers = plan.render(self.plan.leftovers.files, self.facts)
        owned_files.leave(self._instance_directory, leftovers, self.data.owners[0])
        self._note_leftovers()
        if self.plan.leftovers.call and self.data.opened:  # the previous server may have been killed
            probes.call(**plan.render(self.plan.leftovers.call, self.facts))
        for companion in self.plan.companions:
            self._start_companion(companion)
        step("starting")
        server = self._launch_server(port)
        self._host.record_server(server.identity)
        step("started")
        ready = plan.render(self.plan.ready, self.facts)
        pause, last_check = 0.001, time.monotonic()
        while True:
            for program in (server, *self.companions):
                if program.exit_status is not None:
                    self._ended_early(program)
            wait = max(0.05, min(2.0, self.deadline - time.monotonic()))
            result = self.probe(ready, wait)
            if result is not None and server.exit_status is None:
                if not self._is_ours(server, port):
                    raise PortLost
                self._check("it answered its own protocol too late")
                self.ready = {**self.facts, **result, "pid": server.pid, "restored": self.restored}
                return self.ready
            if self.plan.ports.owned and time.monotonic() - last_check > 0.5:
                last_check = time.monotonic()
                if ports.is_lost(plan.HOST, server.pid, port):
                    raise PortLost
            self._check("it did not answer its own protocol")
            server.wait(pause)
            pause = min(pause * 1.05, 0.02)

    def _note_leftovers(self) -> None:
        if self.plan.leftovers.call:
            after_kill.note(self._instance_directory, plan.render(self.plan.leftovers.call, self.facts))

    def _start_companion(self, companion: plan.Companion) -> None:
        started = self._launched(plan.render(companion.command, self.facts), signal.SIGKILL)
        self.companions.append(started)
        ready = plan.render(companion.ready, self.facts)
        while self.probe(ready, 1.0) is None:
            if started.exit_status is not None:
                self._ended_early(started)
            self._check(f"{os.path.basename(started.command[0])}, which it needs, did not answer")
            started.wait(0.005)

    def _launch_server(self, port: int) -> process.Server:
        command = plan.render(self.plan.command, self.facts)
        if not self.plan.ports.inherits_socket:
            return self._launch(command)
        try:
            listener = ports.listen(plan.HOST, port)
        except OSError:
            raise PortLost from None
        with listener:
            self.facts["socket"] = listener.fileno()
            return self._launch(plan.render(self.plan.command, self.facts), listener)

    def _is_ours(self, server: process.Server, port: int) -> bool:
        """Whether the answer came from this server."""
        looked_up = self.plan.ports.owned and not self.plan.ports.probe_authenticates
        return not looked_up or ports.belongs_to(server.pid, port) is not False

    def _ended_early(self, server: process.Server) -> None:
        status = server.exit_status
        self.end_companions()  # they hold some of the picked ports
        used = [number for name, number in self.facts.items() if name == "port" or name.startswith("port_")]
        taken = not all(ports.is_free(plan.HOST, number) for number in used)
        if self.plan.ports.owned and (IN_USE.search(self.log_tail()) or taken):
            raise PortLost
        self.command = server.command
        self._check_chosen_ports(lost=False)
        from servicectx.keeper.start_hints import end_reason

        raise self.failure(end_reason(process.status_text(status), status), status)

    # -- small parts -----------------------------------------------------------------------------------------------

    def _launch(self, command: list[str], inherited: socket.socket | None = None) -> process.Server:
        self.command = command
        self.server = self._launched(command, self.plan.stop.signal, inherited)
        return self.server

    def _launched(self, command: list[str], stop_signal: int, inherited: socket.socket | None = None) -> process.Server:
        self._host.requester.check()
        self.data.hand_over()
        return process.Server(
            command,
            plan.render(self.plan.environment, self.facts) | process_marks.environment(self._instance_directory),
            self.log,
            plan.render(self.plan.working_directory, self.facts),
            self.plan.account,
            stop_signal,
            inherited,
            self.data.locks,
        )

    def _end_server(self) -> None:
        if self.server is not None:
            self.server.end(self.plan.stop.grace)
            if self.ready:
                step("ended")
            after_kill.run(self._instance_directory)  # always: a program below it may have been killed
            self.server = None  # only now: after an interruption the next call repeats all of it
        self.end_companions()
        if not platform.SUBREAPER:  # their children in other sessions have no parent here
            process_marks.end(self._instance_directory, spared=self._host.spared)

    def end_companions(self) -> None:
        while self.companions:
            self.companions.pop().end(0.0)

    def _check(self, doing: str) -> None:
        self._host.requester.check()
        if time.monotonic() > self.deadline:
            from servicectx.keeper.start_hints import wait_reason  # only for a failure

            raise StartTimeout(
                service=self.plan.service,
                name=self.name,
                timeout=self.timeout,
                waiting_for=wait_reason(doing, self.plan),
                command=process.shown(self.command),
                log_tail=self.log_tail(),
            )
