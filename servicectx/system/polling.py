"""Waits for descriptors with `poll`, without the limit of 1,024 that `select` has."""

from servicectx.system.originals import select


def is_readable(descriptor: int, seconds: float) -> bool:
    """Wait at most `seconds` until a read from `descriptor` does not block. The end of a pipe counts as readable.

    Monkey patching may have removed `poll` (eventlet). Then its `select` takes every descriptor, because it waits in
    the event loop.
    """
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], seconds)[0])
    return _is_ready(descriptor, select.POLLIN, seconds)


def is_writable(descriptor: int, seconds: float) -> bool:
    """The same for a write. A pipe without a reader counts as writable."""
    if not hasattr(select, "poll"):
        return bool(select.select([], [descriptor], [], seconds)[1])
    return _is_ready(descriptor, select.POLLOUT, seconds)


def _is_ready(descriptor: int, event: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, event)
    return bool(poller.poll(max(0.0, seconds) * 1000))
