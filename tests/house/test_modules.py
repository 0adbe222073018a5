"""The modules that a cold start loads, by name and with a budget: `sys.modules` in total, with a bare Python's 23.

The caller is counted at the spawn of its keeper, the keeper at the start of its server. Tests start thousands of both,
so each module counts in processor time. `SERVICECTX_HOME` and `SERVICECTX_CACHE` are set here: to find the defaults,
tempfile and platformdirs load 14 more. These remain, beside the modules of the package:

    module                                          loaded by
    typing, collections, functools, contextlib, re  annotations that exist at runtime: NamedTuple, Generic, Protocol
    json, socket, select, selectors                 `system.originals`: the state file, the pipe, the probes
    pathlib, fnmatch, ntpath, urllib.parse          paths of nearly all modules
    threading                                       `managed()` in threads; in the keeper the wait for the last user
    ctypes                                          keeper: prctl, for the signal at the parent's death
    subprocess, locale, shlex, mirakuru             keeper: the start of the server
    dataclasses, inspect, ast, dis, copy            caller: options of services; pydantic loads them later anyway
    logging, traceback, tokenize, string            caller: warnings to the log "servicectx"
    filelock, decimal, secrets, platform            caller: the lock of the key
    hashlib, datetime, random                       caller: the key, the record of a set-up, the choice of a namespace
    sysconfig, glob, importlib.util                 caller: the search for the server's program
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Budgets on Python 3.11. The goals are 80 and 70; the package's own modules are 107 and 72 of these, filelock has 21.
MAX_MODULES = {"caller": 254, "keeper": 173}
NEWER = 40  # more on newer versions, whose standard library has more parts

# Modules that a start must not load before that moment, with the moment when they are loaded, if they are.
LATE = {
    "caller": {
        "pydantic": "while the server starts",
        "asyncio": "never",
        "difflib": "for an error text",
        "importlib.metadata": "for services of other packages",
        "mirakuru": "never",
        "psutil": "never",
        "shutil": "never",
        "subprocess": "never",
        "tempfile": "never",
        "urllib.request": "never",
    },
    "keeper": {
        "dataclasses": "never",
        "filelock": "never: see state/kernel_lock.py",
        "hashlib": "never: OpenSSL",
        "importlib.metadata": "never",
        "inspect": "never",
        "logging": "never: see keeper/server.py",
        "platform": "never",
        "psutil": "never",
        "pydantic": "never",
        "servicectx.client": "never",
        "servicectx.request": "never",
        "shutil": "never",
        "traceback": "for a crash",
        "uuid": "never",
    },
}

# Both processes write their modules at an audit event; the keeper at the first of several.
WRITE = """
import sys
def write(event, arguments, seen=[]):
    if event == {event!r} and not seen:
        seen.append(list(sys.modules))
        open({output!r}, "w").write("\\n".join(seen[0]))
sys.addaudithook(write)
"""
START = """
import sys
sys.path[:] = sys.argv[1].split(":")
exec({caller!r})
real = __import__("posix").posix_spawn
def spawn(path, argv, *arguments, **options):
    code = argv.index("-c") + 1
    return real(path, [*argv[:code], {keeper!r} + argv[code], *argv[code + 1:]], *arguments, **options)
__import__("os").posix_spawn = spawn
from servicectx import managed
with managed("redis", scope="private"):
    pass
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    with tempfile.TemporaryDirectory() as folder:
        caller, keeper = Path(folder) / "caller", Path(folder) / "keeper"
        code = START.format(
            caller=WRITE.format(event="os.posix_spawn", output=str(caller)),
            keeper=WRITE.format(event="subprocess.Popen", output=str(keeper)),
        )
        search = ":".join([str(ROOT), *sys.path])
        variables = {"SERVICECTX_HOME": f"{folder}/home", "SERVICECTX_CACHE": f"{folder}/cache"}
        command = [sys.executable, "-I", "-S", "-c", code, search]
        subprocess.run(command, check=True, timeout=60, env=os.environ | variables)
        return {path.name: set(path.read_text().split()) for path in (caller, keeper)}


@pytest.mark.parametrize("process", MAX_MODULES)
def test_a_cold_start_loads_few_modules(loaded: dict[str, set[str]], process: str) -> None:
    assert "servicectx.services.plan" in loaded[process]
    budget = MAX_MODULES[process] + (NEWER if sys.version_info >= (3, 12) else 0)
    assert len(loaded[process]) <= budget, sorted(loaded[process])


@pytest.mark.parametrize("process", LATE)
def test_late_modules_are_not_loaded(loaded: dict[str, set[str]], process: str) -> None:
    assert not {name: LATE[process][name] for name in LATE[process] if name in loaded[process]}
