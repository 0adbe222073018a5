"""The bridge from `async with` to `with`: enter and leave in a thread, safe to cancel."""

import contextlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio import Future

T = TypeVar("T")


def _nothing() -> None:
    pass


async def enter_in_thread(
    enter: Callable[[], T | None],
    leave: Callable[[], object],
    cancel: Callable[[], object] = _nothing,
    reset_cancel: Callable[[], object] = _nothing,
) -> T:
    """Enter in a thread. If the task is cancelled, wait for the thread, and leave what the thread entered.

    `cancel` makes the thread stop waiting; `enter` then returns None, and `reset_cancel` allows the next call.
    """
    import asyncio
    import contextvars

    # A future, not a task: a closing loop cancels all tasks, but the thread of this one would go on.
    context = contextvars.copy_context()
    entering = asyncio.get_running_loop().run_in_executor(None, context.run, enter)
    try:
        entered = await asyncio.shield(entering)
    except asyncio.CancelledError:
        cancel()
        await wait_until_done({entering})
        reset_cancel()
        if entering.exception() is None and entering.result() is not None:
            await asyncio.to_thread(leave)
        raise
    assert entered is not None
    return entered


async def leave_in_thread(leave: Callable[[], object]) -> None:
    """Leave in a thread, to its end, even if the task is cancelled."""
    import asyncio

    await asyncio.shield(asyncio.to_thread(leave))


async def wait_until_done(futures: "Collection[Future[Any]]") -> None:
    """Wait for all of them, however often the task is cancelled meanwhile."""
    import asyncio

    while not all(future.done() for future in futures):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(futures)
