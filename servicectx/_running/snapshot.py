"""A snapshot is taken: the server writes everything down, ends, its data are kept, and it goes on."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx._running import plan, probes
from servicectx._sharing.steps import step

if TYPE_CHECKING:
    from servicectx._running.process import Server
    from servicectx._running.start import Start

CLEAN_STOP = 30.0  # seconds for each step


def is_wanted(start: "Start") -> bool:
    """Whether the starter is going to say that the set-up is done and the data are worth keeping."""
    return start.data.snapshot is not None and not start.restored


def take(start: "Start") -> dict[str, Any]:
    """Stop the server cleanly, keep a copy of its data, start it again on the same port; the new facts.

    The cache may be read-only or full: then there is no snapshot, and the next start runs the set-up again. So it is
    where data lie elsewhere, too, which copies would share; the facts say that, as `unkept`.
    """
    server, what = start.server, start.plan
    assert server is not None
    assert start.data.snapshot is not None
    if not is_settled(start, server):
        return start.ready
    if link := _link_out(start.data.path):
        return {**start.ready, "unkept": f"{link} leads out of the data, and all copies would share what is there"}
    start.server = None
    server.end(CLEAN_STOP, what.clean_signal)
    start.end_companions()
    if server.exit_status in what.clean_statuses:
        step("keeping")
        start.data.cache.keep(start.data.path, start.data.snapshot, what.secret)
    start.facts["template_secret"] = what.secret
    start.deadline = time.monotonic() + CLEAN_STOP
    return start.run_once()


def _link_out(root: Path) -> str | None:
    """A symbolic link that does not lead to something in the same tree, wherever that is copied to."""
    inside = os.path.realpath(root) + os.sep
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = f"{folder}/{name}"
            if os.path.islink(path) and (
                os.path.isabs(os.readlink(path)) or not f"{os.path.realpath(path)}/".startswith(inside)
            ):
                return f"{os.path.relpath(path, root)} -> {os.readlink(path)}"
    return None


def is_settled(start: "Start", server: "Server") -> bool:
    """Whether it has written down what would not survive a stop."""
    settle = plan.render(start.plan.settle or {"kind": "running"}, start.facts)
    until = time.monotonic() + CLEAN_STOP
    while probes.ask(settle, plan.HOST, start.facts["port"], str(start.log), CLEAN_STOP) is None:
        if server.wait(0.01) or time.monotonic() > until:
            return False
    return True
