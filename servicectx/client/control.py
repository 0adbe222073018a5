"""The server of an entered `managed()` object: restart, log, process id, client programs."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from servicectx.client.claim import Claim
from servicectx.errors import HomeError, NotSupported
from servicectx.request import durations
from servicectx.request.request import Request
from servicectx.state import setup_record
from servicectx.system import reading
from servicectx.system.originals import time
from servicectx.system.real_files import RealFiles

if TYPE_CHECKING:
    import subprocess

    from servicectx.client.client_program import ClientProgram
    from servicectx.services.details import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")
LOGS_LIMIT = 2**26  # bytes


class ServerControl(Generic[D]):
    """The part of `Managed` that controls the server while the object is entered."""

    def __init__(self, request: Request[Any]) -> None:
        self._request = request
        self._pid = 0
        self._claim: Claim | None = None
        self._details: D | None = None

    @property
    def details(self) -> D | None:
        """The details, while it is entered and afterwards; None before.

        After a restart, by any user, that changed a fact of the server, such as its process id, this is a new object.
        Port and password stay.
        """
        if self._claim is not None and self._pid == os.getpid():
            from servicectx.client.after_restart import read_facts

            with RealFiles():
                if read_facts(self._claim):
                    self._details = self._built(self._claim)
        return self._details

    def restart(self, *, kill: bool = False, empty: bool = False, timeout: float | str = 60.0) -> None:
        """Restart the server, on the same port and data, with the same password. Return when it is usable again.

        The readiness check of the service is repeated, such as a callable `ready`. Where a fact of the server changed,
        such as its process id, `details` is then another object.

        All users of a shared instance see the outage, and connect to the same address afterwards. A second call
        restarts it again; calls of several users are carried out one after the other.

        Args:
            kill: end the server by SIGKILL, to test how clients reconnect. Data that the server writes only at a clean
                end are written before that. The default is a clean end.
            empty: required for a server that cannot keep its data over a restart: it starts again without them.
            timeout: seconds, or a duration such as "90s", for the new start.

        Raises:
            NotSupported: the server cannot keep its data; it can, and `empty` is set; the details are external; it runs
                in another container. The server still runs.
            ServiceDied: it did not start again, or server or keeper ended. `failure` is then set for all users.
            StartTimeout: the keeper did not answer, or the readiness check did not pass within `timeout`; the server
                then runs.
            HomeError: the new facts were not written, for example on a full disk; the server then runs.
            RuntimeError: this object is not entered.
        """
        from servicectx.client.after_restart import check
        from servicectx.client.restart import restart

        with RealFiles():
            claim, seconds = self._local("restart()"), durations.seconds(timeout)
            deadline = time.monotonic() + seconds
            if restart(claim, self._request, kill, empty, seconds):
                self._details = self._built(claim)
            check(claim, self._request, self._details, deadline, seconds)

    async def restart_async(self, *, kill: bool = False, empty: bool = False, timeout: float | str = 60.0) -> None:
        """As `restart`, in a thread. A restart goes on if the task is cancelled."""
        import asyncio

        await asyncio.shield(asyncio.to_thread(self.restart, kill=kill, empty=empty, timeout=timeout))

    def logs(self, lines: int | None = None) -> str:
        """The output of the server so far, or its last `lines` lines: at most the last 64 MiB.

        Raises HomeError if the entry at the log's path is not a regular file of this user. Raises NotSupported for an
        external service, ServiceDied for an instance that is gone, RuntimeError when this object is not entered.
        """
        claim = self._local("logs()")
        with RealFiles():
            try:
                text = reading.tail(claim.log(), LOGS_LIMIT).decode(errors="replace").replace("\r\n", "\n")
            except FileNotFoundError:
                raise claim.failure() from None
            except OSError as error:
                problem, cure = error.strerror or str(error), "leave the service, and enter it again"
                raise HomeError(path=str(claim.log()), problem=problem, cure=cure) from None
        return text if lines is None else "".join(text.splitlines(keepends=True)[-lines:] if lines > 0 else [])

    @property
    def pid(self) -> int | None:
        """The process id of the server, new after each restart.

        None before entering, during a restart, for an external service, and in another PID namespace.
        """
        with RealFiles():
            return None if self._claim is None else self._claim.server_pid()

    def exec(
        self,
        arguments: Sequence[str | os.PathLike[str]],
        *,
        input: str | None = None,
        check: bool = True,
        timeout: float | str | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a client program to its end, with `details.environment()`; its exit status and captured output.

        Args:
            arguments: such as `["psql", "-c", "select 1"]`. A name without a directory is searched in the directory of
                the server's program, then in PATH. The client that `servicectx shell` starts is found as there, and
                gets the arguments that connect it.
            input: the text of its standard input; empty by default.
            check: raise for an exit status other than 0.
            timeout: seconds, or a duration such as "90s", after which the program is killed.

        Raises:
            BinaryNotFound: there is no such program.
            subprocess.CalledProcessError, subprocess.TimeoutExpired: with the output.
            ValueError: `arguments` is a text or empty.
            RuntimeError: this object is not entered.
        """
        import subprocess

        found = self._client_program(arguments)
        limit = None if timeout is None else durations.seconds(timeout)
        return subprocess.run(
            found.command,
            env=found.environment,
            input=input or "",
            capture_output=True,
            text=True,
            errors="replace",
            check=check,
            timeout=limit,
        )

    async def exec_async(
        self,
        arguments: Sequence[str | os.PathLike[str]],
        *,
        input: str | None = None,
        check: bool = True,
        timeout: float | str | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """As `exec`, without blocking the loop. If the task is cancelled, the program is killed."""
        import asyncio
        import subprocess

        found = await asyncio.to_thread(self._client_program, arguments)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *found.command, env=found.environment, stdin=pipe, stdout=pipe, stderr=pipe
        )
        limit = None if timeout is None else durations.seconds(timeout)
        try:
            output, errors = await asyncio.wait_for(process.communicate((input or "").encode()), limit)
        except TimeoutError:
            raise subprocess.TimeoutExpired(found.command, limit or 0.0) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        status = process.returncode
        done = subprocess.CompletedProcess(
            found.command,
            0 if status is None else status,
            output.decode(errors="replace"),
            errors.decode(errors="replace"),
        )
        if check:
            done.check_returncode()
        return done

    def _built(self, claim: Claim) -> D:
        """The details of a claimed instance, for this user."""
        state = claim.state
        details: D = self._request.details(
            state.host, state.port, state.details or {}, setup_record.decode(state.setup)
        )
        vars(details)["is_manager"] = not claim.joined  # it differs in equal details: not a field
        return details

    def _client_program(self, arguments: Sequence[str | os.PathLike[str]]) -> "ClientProgram":
        from servicectx.client.client_program import resolve

        self._check_entered()
        with RealFiles():
            program = None if self._claim is None else self._request.program()
            return resolve(self._request.service, self.details, program, arguments)

    def _local(self, operation: str) -> Claim:
        """The claim on the instance. Raises NotSupported for external details."""
        self._check_entered()
        if self._claim is None:
            reason = "its details are external: servicectx did not start it"
            raise NotSupported(
                service=self._request.service.name, name=self._request.name, operation=operation, reason=reason
            )
        return self._claim

    def _check_entered(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(f"{self!r} is not entered in this process; call this inside its with block")
