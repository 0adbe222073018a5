"""Several services side by side, as one context manager."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from servicectx._async import leave_in_thread, wait_until_done
from servicectx._managed import Managed
from servicectx.system.interrupts import run_to_end

if TYPE_CHECKING:
    from asyncio import Future as Pending
    from concurrent.futures import Future

    Outcome = Pending[Any] | Future[Any]


class ManagedAll:
    """A context manager that enters all members at once. If one fails, the others are left and its error is raised."""

    def __init__(self, members: list[Managed[Any]], roles: dict[str, Managed[Any]]) -> None:
        self._roles = list(roles)
        self.members = [*members, *roles.values()]

    def __enter__(self) -> Any:
        from concurrent.futures import ThreadPoolExecutor, wait

        with ThreadPoolExecutor(max(1, len(self.members))) as pool:
            entering = [pool.submit(member.__enter__) for member in self.members]
            try:
                wait(entering)
            except BaseException:  # Ctrl-C
                run_to_end(lambda: self._cancel(entering))
                raise
        return self._given(entering)

    def __exit__(self, *_: object) -> None:
        self._leave(self.members)

    async def __aenter__(self) -> Any:
        """As `with`. A task that is cancelled meanwhile leaves no service."""
        import asyncio

        entering = [asyncio.ensure_future(member.__aenter__()) for member in self.members]
        try:
            await asyncio.gather(*entering, return_exceptions=True)
        except asyncio.CancelledError:
            await wait_until_done(entering)
            await asyncio.to_thread(self._leave, self._entered(entering))
            raise
        return await asyncio.to_thread(self._given, entering)

    async def __aexit__(self, *_: object) -> None:
        await leave_in_thread(self.__exit__)

    def _cancel(self, entering: "Sequence[Future[Any]]") -> None:
        """Cancel the starts in progress, and leave the members that were entered meanwhile."""
        from concurrent.futures import wait

        for member in self.members:
            member.cancel()
        wait(entering)
        for member in self.members:
            member.reset_cancel()
        self._leave(self._entered(entering))

    def _given(self, entering: "Sequence[Outcome]") -> Any:
        """The details of all members; or raise the first failure, after the other members were left."""
        failures = [failure for outcome in entering if (failure := _failure(outcome)) is not None]
        if failures:
            for other in failures[1:]:
                failures[0].add_note(f"and {type(other).__name__}: {other}")
            try:
                self._leave(self._entered(entering))
            finally:
                raise failures[0]
        details = [outcome.result() for outcome in entering]
        return SimpleNamespace(**dict(zip(self._roles, details, strict=True))) if self._roles else tuple(details)

    def _entered(self, entering: "Sequence[Outcome]") -> list[Managed[Any]]:
        return [member for member, outcome in zip(self.members, entering, strict=True) if _failure(outcome) is None]

    def _leave(self, members: list[Managed[Any]]) -> None:
        """Leave these members side by side; no failure hides another."""
        if not members:
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(members)) as pool:
            leaving = [pool.submit(member.__exit__) for member in members]
        failures = [failure for outcome in leaving if (failure := outcome.exception()) is not None]
        if failures:
            raise BaseExceptionGroup("leaving services failed", failures) if len(failures) > 1 else failures[0]


def _failure(outcome: "Outcome") -> BaseException | None:
    if outcome.cancelled():
        import asyncio

        return asyncio.CancelledError()
    return outcome.exception()
