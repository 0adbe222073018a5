"""What `servicectx doctor` looks at: each check does what a start would do, and says what came of it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from servicectx import ConfigError, ServiceCtxError, managed
from servicectx.cli import console
from servicectx.cli.list import cures, known
from servicectx.client import inventory
from servicectx.datadirs.cache import Cache
from servicectx.request import config
from servicectx.services import registry
from servicectx.state import marked, paths, storage
from servicectx.state.record import READY

FINE, WRONG, ABSENT = "ok", "wrong", "absent"
LOW = 256 * 2**20  # bytes: less than a few throwaway databases take
HELD = """
import fcntl, sys
with open(sys.argv[1]) as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(3)
"""


class Finding(NamedTuple):
    """What was looked at, what came of it, and for what is not as it should be: the cure."""

    what: str
    result: str
    said: str
    cure: str = ""


def machine() -> Iterator[Finding]:
    """Everything but the services' programs."""
    for what, check in CHECKS.items():
        try:
            yield check(what)
        except ServiceCtxError as error:
            problem, _, cure = str(error).partition("\n")
            yield Finding(what, WRONG, problem, cure)
        except OSError as error:
            yield Finding(what, WRONG, str(error), "see whether this user may do that here")


def programs(named: tuple[str, ...]) -> Iterator[Finding]:
    """The program of each service; those that the user or the project names must be there."""
    for name in registry.names():
        found = known(name)
        wanted = name in named
        if found.found:
            yield Finding(
                name, FINE, f"{found.version or 'found'}, {found.program}" if found.program else "any program"
            )
        else:
            said = [*cures(found.install), f"SERVICECTX_{name.upper()}_BIN=/path/to/it"]
            cure = f"install it: {'  or  '.join(said)}"
            problem = (found.problem or "").splitlines()[0].partition(": ")[2]
            yield Finding(name, WRONG if wanted else ABSENT, problem, cure)
    try:
        of_project = [name for name in config.names() if name not in registry.names()]
    except ServiceCtxError as error:
        yield Finding("project", WRONG, str(error), "correct the file")
        of_project = []
    for name in (*of_project, *(name for name in named if name not in (*registry.names(), *of_project))):
        try:
            key = managed(name).key
            yield Finding(name, FINE, "named by this project" if key else "details from outside")
        except ServiceCtxError as error:
            problem, _, more = str(error).partition("\n")
            cure = more.partition("install it with one of:\n")[2]
            yield Finding(
                name, WRONG, problem, cure or ("correct the file" if name in of_project else "servicectx list")
            )


def _python(what: str) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.platform not in ("linux", "darwin"):
        return Finding(what, WRONG, f"{version} on {sys.platform}", "use Linux, macOS, or WSL on Windows")
    return Finding(what, FINE, f"Python {version} on {sys.platform}")


def _home(what: str) -> Finding:
    home = paths.home()
    _try_writing(home)
    return Finding(what, FINE, f"{home}, {_room(home)}")


def _data(what: str) -> Finding:
    """Where data would lie; a disk instead of memory is slower, and nothing worse."""
    place = storage.data_root(0, None, os.environ.get("SERVICECTX_STORAGE") or None)
    _try_writing(place)
    free = shutil.disk_usage(place).free
    if free < LOW:
        return Finding(what, WRONG, f"{place}, {_room(place)}", "free some space, or set SERVICECTX_HOME elsewhere")
    in_memory = storage.is_memory(place)
    why = "" if in_memory else ", not in memory: starts are slower"
    return Finding(what, FINE, f"{place}, {_room(place)}{why}")


def _cache(what: str) -> Finding:
    cache = paths.trusted_cache()
    cure = "set SERVICECTX_CACHE to a directory that can be written; without one each start prepares its data anew"
    try:
        paths.make_parents(cache)
        marked.make(cache, marked.CACHE)
        _try_writing(cache)
    except OSError as error:
        return Finding(what, WRONG, f"{cache}: {error.strerror}", cure)
    try:
        limit = paths.cache_size()
    except ConfigError as error:
        return Finding(what, WRONG, str(error), "unset SERVICECTX_CACHE_SIZE")
    held = console.size(sum(entry.size for entry in Cache(cache, limit).entries()))
    return Finding(what, FINE, f"{cache}, {held} of at most {console.size(limit)}, {_room(cache)}")


def _locks(what: str) -> Finding:
    """A lock that this process holds must be held for another process, and free when its holder is gone."""
    import fcntl

    home = paths.home()
    path = home / f".doctor-{os.getpid()}"
    try:
        with open(path, "x") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held = subprocess.run([sys.executable, "-I", "-c", HELD, path], check=False).returncode
        free = subprocess.run([sys.executable, "-I", "-c", HELD, path], check=False).returncode
    finally:
        path.unlink(missing_ok=True)
    if (held, free) != (3, 0):
        cure = "set SERVICECTX_HOME to a local directory; some network file systems do not lock"
        return Finding(what, WRONG, f"locks do not lock in {home}", cure)
    return Finding(what, FINE, "held while their process lives, and free afterwards")


def _ports(what: str) -> Finding:
    cure = "the loopback device must be up (ip link set lo up), and this user must be allowed to listen on it"
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), 2.0).close()
    except OSError as error:
        return Finding(what, WRONG, f"127.0.0.1: {error.strerror or error}", cure)
    return Finding(what, FINE, "can be listened on and connected to, on 127.0.0.1")


def _account(what: str) -> Finding:
    from servicectx.services.base import account_for_root

    try:
        account = account_for_root("postgres")
    except ServiceCtxError as error:
        said, _, cure = str(error).rpartition("; ")
        return Finding(what, WRONG, said or cure, cure if said else "useradd --system nobody")
    if account is None:
        return Finding(what, FINE, "not root: servers run as this user")
    return Finding(what, FINE, f"root: servers that refuse root run as {account}")


def _stale(what: str) -> Finding:
    running = inventory.running()
    elsewhere = [each.state.name for each in running if each.elsewhere()]
    every = [each for each in running if not each.elsewhere()]
    dead = [each.state.name for each in every if each.state.phase == READY and not each.lives()]
    if dead:
        return Finding(what, WRONG, f"dead: {', '.join(dead)}", "servicectx prune")
    silent = [each.state.name for each in every if each.state.phase == READY and not each.answers()]
    if silent:
        return Finding(what, WRONG, f"no answer: {', '.join(silent)}", "servicectx down --force")
    said = f"{len(every)} running, all of them answer" if every else "none running, none left"
    if elsewhere:
        said = f"{said}; not looked at, in another PID namespace: {', '.join(elsewhere)}"
    return Finding(what, FINE, said)


CHECKS: dict[str, Callable[[str], Finding]] = {
    "python": _python,
    "home": _home,
    "data": _data,
    "cache": _cache,
    "locks": _locks,
    "ports": _ports,
    "account": _account,
    "instances": _stale,
}


def _try_writing(place: Path) -> None:
    path = place / f".doctor-{os.getpid()}"
    try:
        path.write_text("x")
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _room(place: Path) -> str:
    return f"{console.size(shutil.disk_usage(place).free)} free"
