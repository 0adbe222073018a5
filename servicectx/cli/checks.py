"""The checks of `servicectx doctor`. Each one does what a start would do, and reports the result."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from servicectx import ConfigError, ServiceCtxError, managed
from servicectx.cli import console, own_variables, surroundings
from servicectx.cli.finding import ABSENT, FINE, WRONG, Finding
from servicectx.cli.list import Known, install_commands, known
from servicectx.client import inventory
from servicectx.datadirs.cache import Cache
from servicectx.request import config
from servicectx.services import registry
from servicectx.services.aliases import words
from servicectx.state import marked, paths, storage
from servicectx.state.record import READY

LOW = 256 * 2**20  # bytes: less than a few throwaway databases take
HELD = """
import fcntl, sys
with open(sys.argv[1]) as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(3)
"""


def machine() -> Iterator[Finding]:
    """All checks except the ones of the services' programs."""
    for name, check in CHECKS.items():
        try:
            yield check(name)
        except ServiceCtxError as error:
            problem, _, cure = str(error).partition("\n")
            yield Finding(name, WRONG, problem, cure)
        except OSError as error:
            yield Finding(name, WRONG, str(error), "check the permissions of this user")


def programs(named: tuple[str, ...]) -> Iterator[Finding]:
    """Check the program of each service. A service that the user or the project names must be installed."""
    for name in registry.names():
        service = known(name)
        if service.found:
            text = _program(service)
            remark = registry.find(name).remark(service.version or "")
            yield Finding(name, FINE, f"{text}; {remark}" if remark else text)
            if service.program:
                yield from _features(name, service.program)
        else:
            choices = [*install_commands(service.install), f"SERVICECTX_{name.upper()}_BIN=/path/to/it"]
            cure = f"install it: {'  or  '.join(choices)}"
            problem = (service.problem or "").splitlines()[0].partition(": ")[2]
            yield Finding(name, WRONG if name in named else ABSENT, problem, cure)
    try:
        of_project = config.names()
    except ServiceCtxError as error:
        yield Finding("project", WRONG, str(error), "correct the file")
        of_project = []
    for name in (*of_project, *(name for name in named if name not in (*registry.names(), *of_project))):
        try:
            yield Finding(name, FINE, _named(name) if managed(name).key else "details from outside")
        except ServiceCtxError as error:
            problem, _, rest = str(error).partition("\n")
            cure = rest.partition("install it with one of:\n")[2]
            yield Finding(
                name, WRONG, problem, cure or ("correct the file" if name in of_project else "servicectx list")
            )


def _program(service: Known) -> str:
    """The program that runs, its version, and why it was chosen."""
    text = f"{service.version or 'found'}, {service.program}" if service.program else "any program"
    return f"{text}, {service.reason}" if service.reason else text


def _named(name: str) -> str:
    """The program of a service that the project names, with the options of the project's file."""
    entry = config.find(name)
    return "named by this project" + (f": {_program(known(entry.service, entry.options))}" if entry else "")


def _features(name: str, program: str) -> Iterator[Finding]:
    """What the server can load, such as extensions of Postgres."""
    for kind, values in registry.find(name).features(program).items():
        yield Finding(f"{name} {kind}", FINE, ", ".join(values) or "none")


def _python(name: str) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.platform not in ("linux", "darwin"):
        return Finding(name, WRONG, f"{version} on {sys.platform}", "use Linux, macOS, or WSL on Windows")
    return Finding(name, FINE, f"Python {version} on {sys.platform}")


def _home(name: str) -> Finding:
    home = paths.home()
    _try_writing(home)
    return Finding(name, FINE, f"{home}, {_room(home)}")


def _data(name: str) -> Finding:
    """The directory for data. A disk instead of memory is only slower."""
    path = storage.data_root(0, None, os.environ.get("SERVICECTX_STORAGE") or None)
    _try_writing(path)
    free = shutil.disk_usage(path).free
    if free < LOW:
        return Finding(name, WRONG, f"{path}, {_room(path)}", "free space, or set SERVICECTX_HOME to another directory")
    remark = "" if storage.is_memory(path) else ", not in memory: starts are slower"
    return Finding(name, FINE, f"{path}, {_room(path)}{remark}")


def _cache(name: str) -> Finding:
    cache = paths.trusted_cache()
    cure = "set SERVICECTX_CACHE to a writable directory; without a cache each start prepares its data anew"
    try:
        paths.make_parents(cache)
        marked.make(cache, marked.CACHE)
        _try_writing(cache)
    except OSError as error:
        return Finding(name, WRONG, f"{cache}: {error.strerror}", cure)
    try:
        limit = paths.cache_size()
    except ConfigError as error:
        return Finding(name, WRONG, str(error), "unset SERVICECTX_CACHE_SIZE")
    held = console.size(sum(entry.size for entry in Cache(cache, limit).entries()))
    return Finding(name, FINE, f"{cache}, {held} of at most {console.size(limit)}, {_room(cache)}")


def _locks(name: str) -> Finding:
    """A lock must keep other processes out, and must be free when its holder is gone."""
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
        return Finding(name, WRONG, f"file locks have no effect in {home}", cure)
    return Finding(name, FINE, "held until their process ends, free afterwards")


def _ports(name: str) -> Finding:
    cure = "the loopback device must be up (ip link set lo up), and this user must be allowed to listen on it"
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), 2.0).close()
    except OSError as error:
        return Finding(name, WRONG, f"127.0.0.1: {error.strerror or error}", cure)
    return Finding(name, FINE, "listening and connecting work on 127.0.0.1")


def _account(name: str) -> Finding:
    from servicectx.services.base import account_for_root

    try:
        account = account_for_root("postgres")
    except ServiceCtxError as error:
        problem, _, cure = str(error).rpartition("; ")
        return Finding(name, WRONG, problem or cure, cure if problem else "useradd --system nobody")
    if account is None:
        return Finding(name, FINE, "not root: servers run as this user")
    return Finding(name, FINE, f"root: servers that refuse root run as {account}")


def _stale(name: str) -> Finding:
    running = inventory.running()
    elsewhere = [instance.state.name for instance in running if instance.elsewhere()]
    here = [instance for instance in running if not instance.elsewhere()]
    ready = [instance for instance in here if instance.state.phase == READY]
    dead = [instance.state.name for instance in ready if not instance.lives()]
    if dead:
        return Finding(name, WRONG, f"dead: {', '.join(dead)}", "servicectx prune")
    silent = [instance.state.name for instance in ready if not instance.answers()]
    if silent:
        return Finding(name, WRONG, f"no answer: {', '.join(silent)}", "servicectx down --force")
    result = f"{len(here)} running, all of them answer" if here else "none running, none left"
    if elsewhere:
        result = f"{result}; not checked, in another PID namespace: {', '.join(elsewhere)}"
    return Finding(name, FINE, result)


def _variables(name: str) -> Finding:
    """Variables `SERVICECTX_...`: the ones that are set, and the ones that nothing reads.

    A variable that is close to a known name is a mistake. Values are shown only of variables without passwords.
    """
    aliases = {word for service in registry.names() for word in words(service)}
    found = own_variables.unknown(os.environ, sorted({*aliases, *config.names()}))
    settings = ", ".join(own_variables.settings(os.environ)) or "none"
    if not found:
        return Finding(name, FINE, f"set: {settings}")
    texts = [one.variable + (f" (did you mean {one.guess}?)" if one.guess else "") for one in found]
    result = WRONG if any(one.guess for one in found) else ABSENT
    text = f"without effect: {', '.join(texts)}; set: {settings}"
    return Finding(name, result, text, "correct the names, or unset the variables")


CHECKS: dict[str, Callable[[str], Finding]] = {
    **surroundings.CHECKS,
    "python": _python,
    "home": _home,
    "data": _data,
    "cache": _cache,
    "locks": _locks,
    "ports": _ports,
    "account": _account,
    "variables": _variables,
    "instances": _stale,
}


def _try_writing(folder: Path) -> None:
    path = folder / f".doctor-{os.getpid()}"
    try:
        path.write_text("x")
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _room(path: Path) -> str:
    return f"{console.size(shutil.disk_usage(path).free)} free"
