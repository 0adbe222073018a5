"""Taking a snapshot: flush the server, stop it, store a copy of its data, and start it again."""

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx.services import plan
from servicectx.system import directories
from servicectx.system.checkpoints import step

if TYPE_CHECKING:
    from servicectx.keeper.server import Server
    from servicectx.keeper.startup import Startup

CLEAN_STOP = 30.0  # seconds for each step


def is_wanted(start: "Startup") -> bool:
    """Whether the requester will report a finished set-up, after which a snapshot is taken."""
    return start.data.snapshot is not None and not start.restored


def take(start: "Startup") -> dict[str, Any]:
    """Stop the server cleanly, store a copy of its data, and start it again on the same port. Return the new facts.

    With a read-only or full cache there is no snapshot, and the next start runs the set-up again. The same holds
    for data outside of the directory, which copies would share; the fact `unkept` then has the reason.
    """
    server, support = start.server, start.plan.snapshot
    assert server is not None
    assert support is not None
    assert start.data.snapshot is not None
    if not is_settled(start, server):
        return start.ready
    if link := _link_out_of(start):
        return {**start.ready, "unkept": f"{link} leads out of the data, and all copies would share that target"}
    start.server = None
    server.end(CLEAN_STOP, support.signal)
    start.end_companions()
    if server.exit_status in support.statuses:
        step("keeping")
        start.data.keep(start.data.snapshot, support.secret)
    start.facts["template_secret"] = support.secret
    start.deadline = time.monotonic() + CLEAN_STOP
    return start.run_once()


def _link_out_of(start: "Startup") -> str | None:
    data = start.data.open()
    try:
        return _link_out(data)
    finally:
        os.close(data)


def _link_out(directory: int | Path, path: str = "") -> str | None:
    """Find a symbolic link that may lead out of the tree or of a copy of it.

    A link may climb only at its beginning, no higher than the tree. Then no chain of such links leads out either.
    """
    if isinstance(directory, Path):
        with directories.entered(directory) as opened:
            return _link_out(opened)
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_link, is_directory in found:
        if is_link:
            target = os.readlink(name, dir_fd=directory)
            climb = re.match(r"(?:\.\./*|\./+)*", target + "/")
            assert climb is not None
            inside = climb[0].count("..") <= path.count("/")
            if os.path.isabs(target) or not inside or ".." in (target + "/")[climb.end() :].split("/"):
                return f"{path}{name} -> {target}"
        elif is_directory:
            with directories.entered(name, directory) as below:
                if link := _link_out(below, f"{path}{name}/"):
                    return link
    return None


def is_settled(start: "Startup", server: "Server") -> bool:
    """Flush the server: wait until its data survives a stop. False: it ended or took too long."""
    support = start.plan.snapshot
    flush = plan.render((support and support.flush) or {"kind": "running"}, start.facts)
    until = time.monotonic() + CLEAN_STOP
    while start.probe(flush, CLEAN_STOP) is None:
        if server.wait(0.01) or time.monotonic() > until:
            return False
    return True
