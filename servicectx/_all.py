"""Several services side by side, as one context manager."""

from types import SimpleNamespace
from typing import Any

from servicectx._managed import Managed


class ManagedAll:
    """Enters all of its members at once. If one fails, the others are left, and its error is raised."""

    def __init__(self, members: list[Managed[Any]], roles: dict[str, Managed[Any]]) -> None:
        self._roles = list(roles)
        self.members = [*members, *roles.values()]

    def __enter__(self) -> Any:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max(1, len(self.members))) as pool:
            entering = [pool.submit(member.__enter__) for member in self.members]
        failures = [failure for each in entering if (failure := each.exception()) is not None]
        if failures:
            self._leave([member for member, each in zip(self.members, entering, strict=True) if not each.exception()])
            for other in failures[1:]:
                failures[0].add_note(f"and {type(other).__name__}: {other}")
            raise failures[0]
        details = [each.result() for each in entering]
        return SimpleNamespace(**dict(zip(self._roles, details, strict=True))) if self._roles else tuple(details)

    def __exit__(self, *_: object) -> None:
        self._leave(self.members)

    async def __aenter__(self) -> Any:
        """As `with`. A task that is cancelled while it waits leaves nothing behind."""
        import asyncio

        entering = asyncio.gather(*(member.__aenter__() for member in self.members), return_exceptions=True)
        try:
            outcomes = await asyncio.shield(entering)
        except asyncio.CancelledError:
            entering.cancel()
            raise
        entered = [member for member, each in zip(self.members, outcomes, strict=True) if not _failed(each)]
        if failures := [each for each in outcomes if _failed(each)]:
            await asyncio.to_thread(self._leave, entered)
            raise failures[0]
        return SimpleNamespace(**dict(zip(self._roles, outcomes, strict=True))) if self._roles else tuple(outcomes)

    async def __aexit__(self, *_: object) -> None:
        import asyncio

        await asyncio.shield(asyncio.to_thread(self.__exit__))

    def _leave(self, members: list[Managed[Any]]) -> None:
        """All of them, side by side; no failure hides another."""
        if not members:
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(members)) as pool:
            leaving = [pool.submit(member.__exit__) for member in members]
        failures = [failure for each in leaving if (failure := each.exception()) is not None]
        if failures:
            raise BaseExceptionGroup("leaving services failed", failures) if len(failures) > 1 else failures[0]


def _failed(outcome: Any) -> bool:
    return isinstance(outcome, BaseException)
