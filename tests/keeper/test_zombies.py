"""Python as process 1 of a container, where it reaps no orphans: no start leaves a zombie."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from servicectx.system import platform
from tests import namespaces

COMMON = """
import json, os, signal, subprocess, sys, time
import psutil, servicectx

assert os.getpid() == 1
STARTS = int(sys.argv[1])

def zombies():
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                found.append([process.pid, process.name()])
        except psutil.Error:
            continue
    return found

def others():
    return [process.pid for process in psutil.process_iter() if process.pid != 1]
"""

EACH = (
    COMMON
    + """
for number in range(STARTS):
    with servicectx.managed("redis", name=f"number {number}"):
        pass
print(json.dumps([zombies(), others()]))
"""
)

WORKERS = (
    COMMON
    + """
worker = "import servicectx; servicectx.managed('redis', name=str(%d), linger=0.05).__enter__(); import os; os._exit(0)"
for number in range(STARTS):
    subprocess.run([sys.executable, "-c", worker % number], check=True)
until = time.monotonic() + 20
while [pid for pid in others() if pid not in [zombie[0] for zombie in zombies()]] and time.monotonic() < until:
    time.sleep(0.02)
with servicectx.managed("redis"):
    pass
print(json.dumps([zombies(), others()]))
"""
)

KILLED = (
    COMMON
    + """
command = ["sh", "-c", "setsid sleep 99 & sleep 99"]
for number in range(STARTS):
    with servicectx.managed("command", name=str(number), command=command, ready="log:"):
        every = [p for p in psutil.process_iter(["cmdline"]) if p.pid != 1]  # None: it ended, and is not reaped yet
        watchers = [p for p in every if "keeper.watchdog" in " ".join(p.info["cmdline"] or ())]
        for process in watchers:
            process.kill()
print(json.dumps([zombies(), others()]))
"""
)

CHILDREN = (
    COMMON
    + """
mine = [subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"]) for _ in range(3)]
while len(zombies()) < 3:
    time.sleep(0.01)
for number in range(STARTS):
    with servicectx.managed("redis"):
        pass
assert [child.wait() for child in mine] == [7, 7, 7]
print(json.dumps([zombies(), others()]))
"""
)


USER = 54321  # without other processes, and with access to this Python: process limits do not apply to root
FEW = [
    *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"),
    *("--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    *("prlimit", "--nproc=24:24"),
]


@pytest.mark.parametrize(
    ("script", "starts", "before"),
    [(EACH, 20, FEW), (WORKERS, 3, []), (KILLED, 2, []), (CHILDREN, 2, [])],
    ids=["each start", "workers that end first", "keeper and watchdog killed", "children of its own stay its own"],
)
def test_no_start_leaves_a_zombie_to_process_1(home: Path, script: str, starts: int, before: list[str]) -> None:
    """Also under a limit of processes and threads that as many zombies would reach."""
    namespaces.require()
    if before:
        os.chown(home, USER, USER)
    if not platform.PROC:
        pytest.skip("process 1 is of interest in containers, where there is /proc")
    done = subprocess.run(
        [
            "unshare",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            *before,
            sys.executable,
            "-c",
            script,
            str(starts),
        ],
        cwd=namespaces.ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: list[Any] = json.loads(done.stdout)
    assert result == [[], []]
