"""A snapshot is taken: the server writes everything down, ends, its data are kept, and it goes on."""

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx.keeper import probes
from servicectx.services import plan
from servicectx.system import directories
from servicectx.system.checkpoints import step

if TYPE_CHECKING:
    from servicectx.keeper.server import Server
    from servicectx.keeper.startup import Startup

CLEAN_STOP = 30.0  # seconds for each step


def is_wanted(start: "Startup") -> bool:
    """Whether the starter is going to say that the set-up is done and the data are worth keeping."""
    return start.data.snapshot is not None and not start.restored


def take(start: "Startup") -> dict[str, Any]:
    """Stop the server cleanly, keep a copy of its data, start it again on the same port; the new facts.

    The cache may be read-only or full: then there is no snapshot, and the next start runs the set-up again. So it is
    where data lie elsewhere, too, which copies would share; the facts say that, as `unkept`.
    """
    server, what = start.server, start.plan
    assert server is not None
    assert start.data.snapshot is not None
    if not is_settled(start, server):
        return start.ready
    if link := _link_out_of(start):
        return {**start.ready, "unkept": f"{link} leads out of the data, and all copies would share what is there"}
    start.server = None
    server.end(CLEAN_STOP, what.clean_signal)
    start.end_companions()
    if server.exit_status in what.clean_statuses:
        step("keeping")
        start.data.keep(start.data.snapshot, what.secret)
    start.facts["template_secret"] = what.secret
    start.deadline = time.monotonic() + CLEAN_STOP
    return start.run_once()


def _link_out_of(start: "Startup") -> str | None:
    data = start.data.open()
    try:
        return _link_out(data)
    finally:
        os.close(data)


def _link_out(directory: int | Path, path: str = "") -> str | None:
    """A symbolic link that may not lead to something in the same tree, wherever that is copied to.

    A link may climb only at its beginning, no higher than the tree. Then no link that it meets leads out either.
    """
    if isinstance(directory, Path):
        with directories.entered(directory) as opened:
            return _link_out(opened)
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_link, is_directory in found:
        if is_link:
            meant = os.readlink(name, dir_fd=directory)
            climb = re.match(r"(?:\.\./*|\./+)*", meant + "/")
            assert climb is not None
            inside = climb[0].count("..") <= path.count("/")
            if os.path.isabs(meant) or not inside or ".." in (meant + "/")[climb.end() :].split("/"):
                return f"{path}{name} -> {meant}"
        elif is_directory:
            with directories.entered(name, directory) as below:
                if link := _link_out(below, f"{path}{name}/"):
                    return link
    return None


def is_settled(start: "Startup", server: "Server") -> bool:
    """Whether it has written down what would not survive a stop."""
    settle = plan.render(start.plan.settle or {"kind": "running"}, start.facts)
    until = time.monotonic() + CLEAN_STOP
    while probes.run_probe(settle, plan.HOST, start.facts["port"], str(start.log), CLEAN_STOP) is None:
        if server.wait(0.01) or time.monotonic() > until:
            return False
    return True
